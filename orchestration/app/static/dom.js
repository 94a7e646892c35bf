// Small helpers. Text from elsewhere is only ever set as text.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Say something to people who listen to the page. */
export function say(text) {
  $("status").textContent = "";
  setTimeout(() => ($("status").textContent = text), 30);
}

export function complain(error) {
  if (error.name === "AbortError" || error.status === 409) return;
  $("alert").textContent = error.message || String(error);
  $("alert").hidden = false;
  $("alert").scrollIntoView({ block: "nearest" });
}

export function calm() {
  $("alert").hidden = true;
}

/** Let arrow keys go through a group of radio buttons, of which one is in the order of Tab. */
export function roving(group) {
  group.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const all = [...group.querySelectorAll('[role="radio"]')];
    const next = all[(all.indexOf(document.activeElement) + steps[event.key] + all.length) % all.length];
    next.focus();
    next.click();
  });
}

export function markChecked(group, chosen) {
  const all = [...group.querySelectorAll('[role="radio"]')];
  for (const one of all) {
    one.setAttribute("aria-checked", String(one === chosen));
    one.tabIndex = one === chosen ? 0 : -1;
  }
  if (!chosen && all.length) all[0].tabIndex = 0;
}
