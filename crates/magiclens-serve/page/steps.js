// The steps of a search, kept by the browser's history: the address says where we are (`#id=..&text=..`), the entry's state
// says how we came here. So back, forward, reload and a copied address all work.

/** @typedef {{id: string, text: string}} Step  `id`: the query image, or empty. `text`: the instruction, or empty. */

const MAX_TRAIL = 40;

/** The step that the address names. */
export function current() {
  const params = new URLSearchParams(location.hash.slice(1));
  const id = params.get("id") ?? "";
  return { id: /^[0-9a-f]{32}$/.test(id) ? id : "", text: (params.get("text") ?? "").trim() };
}

/** The steps before the current one, oldest first. Step `i` lies `trail().length - i` entries back. */
export function trail() {
  return history.state?.trail ?? [];
}

/** The address of a step. */
export function address(step) {
  const params = new URLSearchParams();
  if (step.id) params.set("id", step.id);
  if (step.text) params.set("text", step.text);
  const hash = params.toString();
  return hash ? `#${hash}` : location.pathname;
}

/** Goes one step on: a new entry of the history. */
export function push(step, { draft = false } = {}) {
  if (same(step, current())) return;
  const before = [...trail(), current()].slice(-MAX_TRAIL);
  history.pushState({ trail: before, draft }, "", address(step));
}

/** Changes the step while it is being typed: the first letter makes an entry, the others change it. */
export function edit(step) {
  if (!history.state?.draft) return push(step, { draft: true });
  history.replaceState(history.state, "", address(step));
}

/** The typed step is final: typing on will be a new one. */
export function settle() {
  if (history.state?.draft) history.replaceState({ ...history.state, draft: false }, "");
}

/** Goes back to step `index` of the trail. */
export function backTo(index) {
  history.go(index - trail().length);
}

export function same(a, b) {
  return a.id === b.id && a.text === b.text;
}

export function isStart(step) {
  return !step.id && !step.text;
}
