// The indexing in the background: how far it is, until it ends.

import * as api from "./api.js";

const POLL_MS = 1000;

const box = document.getElementById("indexing");
const words = document.getElementById("indexing-words");
const bar = document.getElementById("indexing-bar");

let running = false;

export function isRunning() {
  return running;
}

/** Shows the progress until the end. Calls `onImages(count)` when there are more images to find, and `onEnd(words)`. */
export async function follow(info, { onImages, onEnd }) {
  let count = info.count;
  running = isUnfinished(info.indexing);
  if (info.indexing?.state === "failed") show(info.indexing);
  while (running) {
    show(info.indexing);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    try {
      info = await api.info();
    } catch {
      continue; // the server may be busy, or gone: the search itself says so
    }
    running = isUnfinished(info.indexing);
    if (info.count !== count || !running) onImages((count = info.count));
    if (!running) onEnd(show(info.indexing));
  }
}

function isUnfinished(indexing) {
  return ["scanning", "indexing"].includes(indexing?.state);
}

function show({ state, done, total, skipped }) {
  const number = (count) => count.toLocaleString();
  const files = skipped === 1 ? "1 file was skipped" : `${number(skipped)} files were skipped`;
  const text = {
    scanning: total ? `Looking at files: ${number(done)} of ${number(total)}` : "Looking for images …",
    indexing: `Indexing: ${number(done)} of ${number(total)} images can be found`,
    done: skipped ? `All images are indexed; ${files}.` : "All images are indexed.",
    failed: "Indexing has stopped before its end; the server’s log says why.",
  }[state];
  box.hidden = false;
  box.classList.toggle("failed", state === "failed");
  words.textContent = text;
  bar.hidden = !isUnfinished({ state });
  if (total) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
  return text;
}
