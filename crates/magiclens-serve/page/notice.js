// The one place for bad news. What was on the page before stays there.

const place = document.getElementById("notice");

/** Shows a failure, with a way to try again if there is one. */
export function show(failure, retry) {
  const text = document.createElement("p");
  const strong = document.createElement("strong");
  strong.textContent = failure.message;
  text.append(strong);
  if (failure.hint) text.append(" ", failure.hint);

  const box = document.createElement("div");
  box.className = "notice";
  box.append(text);
  if (retry) box.append(button("Try again", retry));
  box.append(button("Dismiss", clear));
  place.replaceChildren(box);
}

export function clear() {
  place.replaceChildren();
}

export function isShown() {
  return place.childElementCount > 0;
}

function button(words, action) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = words;
  button.addEventListener("click", action);
  return button;
}
