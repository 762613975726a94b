// One rater's way through the study. The server knows where the rater is; the page shows it and sends answers.

import * as api from "./api.js";

// An answer sooner than this after a question appears is the second half of a double click.
const SETTLE_MS = 300;
const IMAGES_PATIENCE_MS = 5000;

const KEYS = {
  ArrowLeft: "left", 1: "left",
  t: "tie", T: "tie", 2: "tie",
  ArrowRight: "right", 3: "right",
};

const $ = (id) => document.getElementById(id);

let rater = "";
let view = null;
// Whether an answer is taken now: the images are there, and no other answer is under way.
let ready = false;
let shown = 0;

function start() {
  $("start").addEventListener("submit", (event) => {
    event.preventDefault();
    enter($("rater").value);
  });
  $("leave").addEventListener("click", () => {
    $("rater").value = "";
    location.hash = "";
  });
  $("undo").addEventListener("click", undo);
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.addEventListener("click", (event) => {
      if (event.detail < 2) answer(button.dataset.choice);
    });
  }
  $("query").addEventListener("click", () => enlarge($("query")));
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", arrive);
  arrive();
}

/** The rater is named in the address, so that a reload goes on and two tabs may have two raters. */
function arrive() {
  const named = new URLSearchParams(location.hash.slice(1)).get("rater") ?? "";
  if (named && named === rater) return;
  rater = "";
  if (named) enter(named);
  else welcome();
}

async function enter(name) {
  await run(async () => {
    const found = await api.item(name.trim());
    rater = found.rater;
    location.hash = new URLSearchParams({ rater });
    show(found);
  }, () => enter(name), welcome);
}

function answer(choice) {
  if (!ready || !view?.item) return;
  const { key } = view.item;
  send(() => api.judge(rater, key, choice));
}

function undo() {
  if (!ready || !view?.last) return;
  const { last } = view;
  send(() => api.undo(rater, last));
}

/** Sends what may be sent twice: after a failure the same request is tried again. */
async function send(request) {
  setReady(false);
  await run(async () => show(await request()), () => send(request));
}

async function run(work, retry, otherwise) {
  try {
    await work();
  } catch (failure) {
    if (!(failure instanceof api.Failure)) throw failure;
    if (failure.status === 409 || failure.status === 404) {
      // Another window went on: show where the rater is.
      show(await api.item(rater).catch(() => view));
      notice(failure);
    } else {
      notice(failure, failure.status === 400 ? undefined : retry);
      if (failure.status === 400) otherwise?.();
    }
  }
}

// ---- What is shown

function only(section) {
  for (const id of ["welcome", "task", "end"]) $(id).hidden = id !== section;
  const inside = section !== "welcome";
  $("progress").hidden = !inside;
  $("who").hidden = !inside;
  $("choices").hidden = section !== "task";
  if (!inside) $("undo").hidden = true;
}

function welcome() {
  view = null;
  setReady(false);
  only("welcome");
  document.title = "Compare results";
  $("rater").focus();
}

function show(found) {
  view = found;
  clearNotice();
  $("name-shown").textContent = found.rater;
  $("bar").max = found.total;
  $("bar").value = found.done;
  $("count").textContent = `${found.done} of ${found.total} answered`;
  $("undo").hidden = !found.last;
  if (found.item) showItem(found);
  else showEnd(found);
}

function showItem({ item, question, done, total }) {
  only("task");
  $("question").textContent = question;
  $("instruction").textContent = item.instruction;
  $("query").firstElementChild.src = api.imageAddress(item.query);
  $("left").replaceChildren(...item.left.map((id, rank) => result(id, `Left list, result ${rank + 1}`)));
  $("right").replaceChildren(...item.right.map((id, rank) => result(id, `Right list, result ${rank + 1}`)));
  document.title = `Question ${done + 1} of ${total}`;
  $("live").textContent = `Question ${done + 1} of ${total}: ${item.instruction}`;
  window.scrollTo({ top: 0 });
  $("instruction").focus({ preventScroll: true });
  settle();
}

function showEnd({ total }) {
  only("end");
  document.title = "All answered";
  $("end-text").textContent = `All ${total} answers are kept. You may close this page.`;
  $("end-title").focus({ preventScroll: true });
  setReady(true);
}

function result(id, words) {
  const entry = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "frame";
  button.setAttribute("aria-label", `${words}: enlarge`);
  const image = document.createElement("img");
  image.src = api.imageAddress(id);
  image.alt = words;
  button.append(image);
  button.addEventListener("click", () => enlarge(button));
  entry.append(button);
  return entry;
}

/** Takes answers once every image of the question is there and a moment has passed. */
async function settle() {
  setReady(false);
  const mine = ++shown;
  const images = [...$("task").querySelectorAll("img")];
  const loaded = Promise.all(images.map((image) => image.decode().catch(() => {})));
  await Promise.all([Promise.race([loaded, pause(IMAGES_PATIENCE_MS)]), pause(SETTLE_MS)]);
  if (mine === shown) setReady(true);
}

function setReady(value) {
  ready = value;
  $("choices").setAttribute("aria-busy", String(!value));
}

function enlarge(frame) {
  $("zoom-image").src = frame.querySelector("img").src;
  $("zoom-image").alt = frame.querySelector("img").alt;
  $("zoom").showModal();
}

function onKey(event) {
  if (event.repeat || event.metaKey || event.ctrlKey || event.altKey || event.isComposing) return;
  if ($("zoom").open || event.target instanceof HTMLInputElement || $("welcome").hidden === false) return;
  if (Object.hasOwn(KEYS, event.key)) answer(KEYS[event.key]);
  else if (["u", "U", "Backspace"].includes(event.key)) undo();
  else return;
  event.preventDefault();
}

function notice(failure, retry) {
  const text = document.createElement("p");
  const strong = document.createElement("strong");
  strong.textContent = failure.message;
  text.append(strong, " ", failure.hint);
  const box = document.createElement("div");
  box.className = "notice";
  box.append(text, quiet(retry ? "Try again" : "Dismiss", () => {
    clearNotice();
    retry?.();
  }));
  $("notice").replaceChildren(box);
}

function clearNotice() {
  $("notice").replaceChildren();
}

function quiet(words, action) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = words;
  button.addEventListener("click", action);
  return button;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

start();
