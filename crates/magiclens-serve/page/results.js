// The grid of images: links to search on from, each with its score and a button for details.

import { thumbnailAddress } from "./api.js";
import { nameOf } from "./details.js";
import { address } from "./steps.js";

const grid = document.getElementById("grid");

const ARROWS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };

let shown = new Map();

/** `onSearch(id, byKeyboard)`: an image was chosen. `onDetails(hit)`: more about it is wanted. */
export function start(onSearch, onDetails) {
  grid.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    const hit = shown.get(card.dataset.id);
    if (event.target.closest(".about")) return onDetails(hit);
    // With a modifier the browser opens the link in a new tab or window, as everywhere.
    if (!event.target.closest("a") || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    onSearch(hit.id, event.detail === 0);
  });
  grid.addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (!card || event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === "i") return onDetails(shown.get(card.dataset.id));
    const next = neighbour(card, event.key);
    if (!next) return;
    event.preventDefault();
    next.querySelector("a").focus();
  });
  grid.addEventListener("dragstart", (event) => {
    const card = event.target.closest(".card");
    if (card) event.dataTransfer.setData("text/x-magiclens-id", card.dataset.id);
  });
}

/** Shows hits, best first. An image that stays on the page keeps its element, so nothing flickers while one types. */
export function show(hits) {
  const before = new Map([...grid.querySelectorAll(".card")].map((card) => [card.dataset.id, card]));
  shown = new Map(hits.map((hit) => [hit.id, hit]));
  const hadFocus = grid.contains(document.activeElement);
  const cards = hits.map((hit, rank) => fill(before.get(hit.id) ?? card(hit, rank), hit));
  grid.replaceChildren(...cards);
  grid.setAttribute("aria-busy", "false");
  grid.classList.remove("waiting");
  if (hadFocus) focusFirst();
}

/** An answer is on its way: what is there is not the latest any more. */
export function begin() {
  grid.setAttribute("aria-busy", "true");
}

/** It takes a while: grey tiles on an empty page, else what is there, dimmed. */
export function wait() {
  if (grid.querySelector(".card")) return grid.classList.add("waiting");
  grid.replaceChildren(...Array.from({ length: 18 }, () => {
    const item = element("li", "ghost");
    item.setAttribute("aria-hidden", "true");
    item.append(element("span", "mat"), element("span", "line"), element("span", "line short"));
    return item;
  }));
}

/** No answer will come: back to what was there. */
export function stopWaiting() {
  grid.setAttribute("aria-busy", "false");
  grid.classList.remove("waiting");
  grid.querySelectorAll(".ghost").forEach((ghost) => ghost.remove());
}

export function focusFirst() {
  grid.querySelector("a")?.focus();
}

function card(hit, rank) {
  const item = element("li", "card");
  item.dataset.id = hit.id;
  item.style.setProperty("--rank", Math.min(rank, 24));

  const link = element("a", "hit");
  link.href = address({ id: hit.id, text: "" });
  const mat = element("span", "mat");
  const image = element("img");
  image.alt = "";
  image.width = hit.width;
  image.height = hit.height;
  image.loading = rank < 24 ? "eager" : "lazy";
  image.decoding = "async";
  image.draggable = false;
  image.addEventListener("error", () => mat.classList.add("missing"));
  image.src = thumbnailAddress(hit.id);
  mat.append(image);
  const name = element("span", "name");
  name.textContent = nameOf(hit);
  link.append(mat, name, scoreBar());

  const about = element("button", "about");
  about.type = "button";
  about.textContent = "i";
  about.title = "Details (i)";
  about.setAttribute("aria-label", `Details of ${nameOf(hit)}`);
  item.append(link, about);
  return item;
}

function scoreBar() {
  const score = element("span", "score");
  const bar = element("span", "bar");
  bar.append(element("span"));
  score.append(bar, element("span", "number"));
  return score;
}

/** Brings a card up to date with its hit. */
function fill(card, hit) {
  const link = card.querySelector("a");
  const scored = hit.score !== undefined;
  card.classList.toggle("scored", scored);
  if (scored) {
    card.style.setProperty("--score", Math.max(0, Math.min(1, hit.score)));
    card.querySelector(".number").textContent = hit.score.toFixed(2);
  }
  const score = scored ? `, score ${hit.score.toFixed(2)}` : "";
  link.setAttribute("aria-label", `${nameOf(hit)}${score}. Search from this image`);
  return card;
}

/** The card that an arrow key leads to. */
function neighbour(card, key) {
  const cards = [...grid.querySelectorAll(".card")];
  const at = cards.indexOf(card);
  if (key === "Home") return cards[0];
  if (key === "End") return cards.at(-1);
  if (!(key in ARROWS)) return undefined;
  const columns = cards.findIndex((other) => other.offsetTop > cards[0].offsetTop);
  const width = key === "ArrowUp" || key === "ArrowDown" ? (columns === -1 ? cards.length : columns) : 1;
  return cards[at + ARROWS[key] * width];
}

function element(tag, className = "") {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
