// Wires the page together: what the user does becomes a step, a step becomes a search, its answer becomes the results.

import * as api from "./api.js";
import * as details from "./details.js";
import * as images from "./images.js";
import * as indexing from "./indexing.js";
import * as notice from "./notice.js";
import * as results from "./results.js";
import * as steps from "./steps.js";

const TYPING_PAUSE_MS = 250;
const FIRST_HITS = 36;
const MORE_HITS = 48;
const ANSWERS_KEPT = 60;
const SAMPLE_PAGES = 40;

const CHANGES = ["as a line drawing", "another animal in this style", "as a photo", "in another color", "smiling"];
const SUBJECTS = ["a red car", "a bird on a branch", "musical instruments", "something sweet", "a stormy night"];

const $ = (id) => document.getElementById(id);
const text = $("text");
const include = $("include");
const grid = $("grid");

// Until the server has said its own.
let limits = { max_body_bytes: 24 << 20, max_text_chars: 2000, max_hits: 200 };
let hitsWanted = FIRST_HITS;
let samplePage = 0;
let running = null;
let typing = 0;
let focusResults = false;
const answers = new Map();

function start() {
  results.start(searchFrom, details.show);
  details.start((id) => searchFrom(id, true));
  listenToForm();
  listenToImages();
  listenToKeys();
  window.addEventListener("popstate", () => {
    hitsWanted = FIRST_HITS;
    show();
  });
  show();
  greet();
}

async function greet() {
  try {
    const info = await api.info();
    limits = info.limits;
    text.maxLength = limits.max_text_chars;
    $("stats").title = `Model ${info.model}, ${info.dim} numbers an image`;
    showCount(info.count);
    indexing.follow(info, { onImages: moreImages, onEnd: (words) => ($("live").textContent = words) });
  } catch {
    // The search itself will say that the server is not there.
  }
}

function showCount(count) {
  $("stats").textContent = `${count.toLocaleString()} ${count === 1 ? "image" : "images"}`;
}

/** The index has grown: answers of before are out of date, and a page that is not full yet takes the new images. */
function moreImages(count) {
  showCount(count);
  answers.clear();
  const isShort = grid.querySelectorAll(".card").length < FIRST_HITS;
  if (isShort && steps.isStart(steps.current()) && !notice.isShown()) show();
}

// ---- Steps

/** Searches on from an image of the results. */
function searchFrom(id, byKeyboard) {
  go({ id, text: "" });
  if (byKeyboard) focusResults = true;
  else window.scrollTo({ top: 0 });
}

function go(step) {
  clearTimeout(typing);
  steps.push(step);
  hitsWanted = FIRST_HITS;
  show();
}

/** Brings the page to the step that the address names. */
async function show() {
  const step = steps.current();
  const cameByTrail = $("trail").contains(document.activeElement);
  showQuery(step);
  if (cameByTrail) $("heading").focus({ preventScroll: true });
  await run((signal) => answer(step, signal), show);
}

/** Runs one request at a time: a new one makes the older one stale. */
async function run(ask, retry) {
  running?.abort();
  const mine = (running = new AbortController());
  results.begin();
  const patience = setTimeout(results.wait, grid.childElementCount ? 120 : 0);
  try {
    const found = await ask(mine.signal);
    if (mine !== running) return;
    notice.clear();
    showResults(steps.current(), found);
  } catch (error) {
    if (mine !== running || error.name === "AbortError") return;
    results.stopWaiting();
    if (!(error instanceof api.Failure)) throw error;
    const final = [400, 403, 404, 410, 413, 415, 422].includes(error.status);
    notice.show(error, final ? undefined : retry);
    showImage(steps.current().id);
  } finally {
    clearTimeout(patience);
  }
}

/** The answer for a step, from memory where it was given before: back and forward are instant. */
async function answer(step, signal) {
  const key = keyOf(step);
  if (answers.has(key)) return answers.get(key);
  const found = steps.isStart(step)
    ? { hits: await sample(signal) }
    : await search(step, signal);
  return keep(key, found);
}

/** Images to start from; after the last page comes the first. */
async function sample(signal) {
  const hits = await api.sample(FIRST_HITS, samplePage, signal);
  if (hits.length || !samplePage) return hits;
  samplePage = 0;
  return api.sample(FIRST_HITS, samplePage, signal);
}

async function search(step, signal) {
  const options = { k: hitsWanted, includeQuery: include.checked };
  try {
    return await api.search({ ...step, ...options }, signal);
  } catch (error) {
    // The server forgets images that it was sent; if we still have this one, we send it again.
    if (error.status !== 404) throw error;
    const file = images.fileOf(step.id);
    if (!file) {
      throw new api.Failure("The server does not have this image any more.", {
        hint: "Choose or drop it again, or start from another one.",
        status: 404,
      });
    }
    return await api.searchFile(file, { text: step.text, ...options }, signal);
  }
}

function keep(key, found) {
  answers.delete(key);
  answers.set(key, found);
  if (answers.size > ANSWERS_KEPT) answers.delete(answers.keys().next().value);
  return found;
}

function keyOf(step) {
  return JSON.stringify([step.id, step.text, hitsWanted, Boolean(step.id) && include.checked, steps.isStart(step) && samplePage]);
}

// ---- What is shown

function showQuery(step) {
  showImage(step.id);
  if (text.value.trim() !== step.text) text.value = step.text;
  $("text-label").textContent = step.id ? "What should be different?" : "What are you looking for?";
  text.placeholder = step.id ? "as a line drawing, in blue, at night …" : "Describe it, or choose an image first";
  $("hero").hidden = !steps.isStart(step);
  $("include-label").hidden = !step.id;
  document.title = step.text ? `${step.text} · magiclens` : "magiclens";
  showChips(step);
  showTrail(step);
}

function showImage(id) {
  showChosen(id && images.smallAddress(id));
}

function showChosen(address) {
  $("choose").hidden = Boolean(address);
  $("chosen").hidden = !address;
  $("chosen").classList.remove("sending", "missing");
  if (address && $("chosen-image").getAttribute("src") !== address) $("chosen-image").src = address;
}

function showChips(step) {
  const words = step.id ? CHANGES : SUBJECTS;
  $("chips").replaceChildren(...words.map((word) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = "chip";
    chip.textContent = word;
    chip.setAttribute("aria-pressed", String(word === step.text));
    chip.addEventListener("click", () => {
      go({ id: steps.current().id, text: word });
      [...$("chips").children].find((other) => other.textContent === word)?.focus();
    });
    return chip;
  }));
}

function showTrail(step) {
  const trail = steps.trail();
  $("trail").hidden = trail.length === 0;
  $("steps").replaceChildren(
    ...trail.map((before, index) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.append(...stepWords(before));
      button.addEventListener("click", () => steps.backTo(index));
      item.append(button);
      return item;
    }),
    currentStep(step),
  );
  $("steps").scrollLeft = $("steps").scrollWidth;
}

function currentStep(step) {
  const item = document.createElement("li");
  const words = document.createElement("span");
  words.setAttribute("aria-current", "step");
  words.append(...stepWords(step));
  item.append(words);
  return item;
}

function stepWords(step) {
  if (steps.isStart(step)) return ["Start"];
  const parts = [];
  if (step.id) {
    const image = document.createElement("img");
    image.src = images.smallAddress(step.id);
    image.alt = step.text ? "image and" : "image";
    parts.push(image);
  }
  if (step.text) {
    const words = document.createElement("span");
    words.textContent = step.text;
    parts.push(words);
  }
  return parts;
}

function showResults(step, found) {
  const start = steps.isStart(step);
  const count = found.hits.length;
  results.show(found.hits);
  $("heading").textContent = start ? "Images to start from" : "Results";
  $("summary").textContent = start || !count ? "" : `${count} in ${took(found.took_ms)}`;
  $("shuffle").hidden = !start || (count < FIRST_HITS && !samplePage);
  $("nothing").hidden = count > 0;
  $("nothing").textContent = start
    ? indexing.isRunning()
      ? "The first images will be here in a moment."
      : "The index is empty. Fill it with “magiclens serve FOLDER --index DIR”."
    : "Nothing found. Try other words or another image.";
  $("more").hidden = start || count < hitsWanted || hitsWanted >= limits.max_hits;
  announce(start, found);
  if (focusResults) results.focusFirst();
  focusResults = false;
}

function took(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function announce(start, { hits }) {
  const best = hits[0];
  if (start) $("live").textContent = `${hits.length} images to start from`;
  else if (!best) $("live").textContent = "No results";
  else {
    const results = hits.length === 1 ? "1 result" : `${hits.length} results`;
    $("live").textContent = `${results}, best: ${details.nameOf(best)}, score ${best.score.toFixed(2)}`;
  }
}

// ---- What the user does

function listenToForm() {
  text.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => typed(steps.edit), TYPING_PAUSE_MS);
  });
  $("query").addEventListener("submit", (event) => {
    event.preventDefault();
    typed(steps.edit);
    steps.settle();
  });
  include.addEventListener("change", () => {
    typed(steps.edit);
    show();
  });
  $("more").addEventListener("click", more);
  $("shuffle").addEventListener("click", () => {
    samplePage = (samplePage + 1) % SAMPLE_PAGES;
    show();
  });
  $("brand").addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go({ id: "", text: "" });
  });
  $("skip").addEventListener("click", () => $("heading").focus());
}

function typed(record) {
  clearTimeout(typing);
  const step = { id: steps.current().id, text: text.value.trim() };
  // Nothing changed: search again only if the last try failed.
  if (steps.same(step, steps.current()) && !notice.isShown()) return;
  record(step);
  hitsWanted = FIRST_HITS;
  show();
}

async function more() {
  const before = grid.querySelectorAll(".card").length;
  hitsWanted = Math.min(hitsWanted + MORE_HITS, limits.max_hits);
  await show();
  grid.querySelectorAll(".card a")[before]?.focus({ preventScroll: true });
}

function clear() {
  const step = steps.current();
  if (text.value) go({ id: step.id, text: "" });
  else if (step.id) go({ id: "", text: "" });
  text.value = "";
  notice.clear();
  text.focus();
}

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (details.isOpen() || event.metaKey || event.ctrlKey || event.altKey || event.isComposing) return;
    const inText = event.target === text;
    if (event.key === "/" && !inText) {
      event.preventDefault();
      text.focus();
      text.select();
    } else if (event.key === "Escape") {
      event.preventDefault();
      clear();
    } else if (event.key === "ArrowDown" && inText) {
      event.preventDefault();
      results.focusFirst();
    }
  });
}

function listenToImages() {
  const pick = () => $("file").click();
  $("choose").addEventListener("click", pick);
  $("again").addEventListener("click", pick);
  $("file").addEventListener("change", () => {
    bring($("file").files[0]);
    $("file").value = ""; // choosing the same file again is a choice, too
  });
  $("remove").addEventListener("click", () => {
    go({ id: "", text: text.value.trim() });
    $("choose").focus();
  });
  $("chosen-image").addEventListener("error", () => $("chosen").classList.add("missing"));

  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return; // words: the browser puts them where the cursor is
    event.preventDefault();
    bring(file);
  });
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").hidden = false;
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("drop").hidden = true;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").hidden = true;
    dropped(event.dataTransfer);
  });
}

function dropped(transfer) {
  const id = transfer?.getData("text/x-magiclens-id");
  if (id) return searchFrom(id, false);
  if (transfer?.files.length) return bring(transfer.files[0]);
  notice.show(new api.Failure("That was not an image file.", {
    hint: "An image of another page can be copied there and pasted here.",
  }));
}

/** Searches from a file of the user. The step is made when the server has accepted it, so a bad file changes nothing. */
async function bring(file) {
  if (!file) return;
  clearTimeout(typing);
  notice.clear();
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  if (file.size > limits.max_body_bytes - 10_000) {
    return notice.show(new api.Failure(`“${file.name}” is too large: ${megabytes(file.size)}.`, {
      hint: `The server takes up to ${megabytes(limits.max_body_bytes)}. Choose a smaller version.`,
    }));
  }
  const preview = URL.createObjectURL(file);
  showChosen(preview);
  $("chosen").classList.add("sending");
  hitsWanted = FIRST_HITS;
  const words = text.value.trim();
  const options = { text: words, k: hitsWanted, includeQuery: include.checked };
  await run(async (signal) => {
    const found = await api.searchFile(file, options, signal);
    const step = { id: found.query_id, text: words };
    images.remember(step.id, file);
    keep(keyOf(step), found);
    signal.throwIfAborted();
    steps.push(step);
    showQuery(step);
    window.scrollTo({ top: 0 });
    return found;
  }, () => bring(file));
  URL.revokeObjectURL(preview);
}

start();
