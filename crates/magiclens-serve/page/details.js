// Everything that is known about one image, in a dialog.

import * as api from "./api.js";

const dialog = document.getElementById("details");
const image = document.getElementById("details-image");
const title = document.getElementById("details-title");
const list = document.getElementById("details-list");
const open = document.getElementById("details-open");

let shown = null;
let loading = null;

/** Calls `onSearch(id)` when the user searches on from the shown image. */
export function start(onSearch) {
  document.getElementById("details-close").addEventListener("click", () => dialog.close());
  document.getElementById("details-search").addEventListener("click", () => {
    dialog.close();
    onSearch(shown.id);
  });
  // A click on the backdrop hits the dialog itself, one inside hits its content.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => loading?.abort());
  // The file may be in a format that the browser does not show, or gone; the thumbnail is there in any case.
  image.addEventListener("error", () => {
    const thumbnail = api.thumbnailAddress(shown.id);
    if (!image.src.endsWith(thumbnail)) image.src = thumbnail;
  });
}

/** Shows what the result says at once, then what only the server knows. */
export async function show(hit) {
  shown = hit;
  title.textContent = nameOf(hit);
  image.src = api.fileAddress(hit.id);
  image.alt = nameOf(hit);
  open.href = api.fileAddress(hit.id);
  describe(hit, [hit.path]);
  if (!dialog.open) dialog.showModal();
  loading?.abort();
  loading = new AbortController();
  try {
    const known = await api.image(hit.id, loading.signal);
    if (shown === hit) describe({ ...hit, ...known }, known.paths);
  } catch {
    // What the result said is on show already; a failure here takes nothing away.
  }
}

/** The name of an image: its caption, else its file name. */
export function nameOf(hit) {
  return hit.caption || (hit.path ?? "").split("/").pop() || "image without a name";
}

export function isOpen() {
  return dialog.open;
}

function describe(hit, paths) {
  const rows = [
    ["Score", hit.score === undefined ? "" : hit.score.toFixed(4)],
    ["Size", `${hit.width} × ${hit.height} pixels`],
    ["Tags", (hit.tags ?? []).join(", ")],
    ["License", hit.license],
    ["Source", hit.source],
    [paths.length > 1 ? "Files" : "File", paths.join("\n")],
    ["Id", hit.id],
  ];
  list.replaceChildren(...rows.filter(([, value]) => value).flatMap(([term, value]) => {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = term;
    dd.textContent = value;
    return [dt, dd];
  }));
}
