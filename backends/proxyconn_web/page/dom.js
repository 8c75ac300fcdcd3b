// Makes and changes elements. Text is only ever set as text: what a device says is never markup.

/** Make an element; `on` are listeners, other properties attributes, strings become text. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Set the text of an element, if it is another one. */
export function text(element, value) {
  const wanted = value === null || value === undefined ? "" : String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Set an attribute, if it is another one; null takes it away. */
export function attribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}

/** Make the children of an element those of `items`, by key; keeps, moves and drops as needed. */
export function keyed(parent, items, make, update) {
  const known = parent.keyedChildren || (parent.keyedChildren = new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const [key, item] of items) {
    wanted.add(key);
    let child = known.get(key);
    if (!child) {
      child = make(key, item);
      known.set(key, child);
    }
    update(child, key, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const [key, child] of known) {
    if (!wanted.has(key)) {
      child.remove();
      known.delete(key);
    }
  }
}

/** Make a table with a heading for each column; returns its wrapper and its body. */
export function table(caption, columns) {
  const body = h("tbody");
  const head = h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name)));
  const made = h("table", {}, h("caption", {}, caption), h("thead", {}, head), body);
  // What scrolls must be reached by keyboard, too.
  return [h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made), body];
}

/** Show rows of texts; a cell is a text, or a list of text and link. */
export function rows(body, items, cells) {
  keyed(
    body,
    items,
    () => h("tr"),
    (row, key, item) => {
      const values = cells(key, item);
      while (row.children.length < values.length) row.append(h("td"));
      values.forEach((value, at) => cell(row.children[at], value));
    },
  );
}

function cell(element, value) {
  if (value instanceof Node) {
    if (element.firstChild !== value) element.replaceChildren(value);
  } else if (Array.isArray(value)) {
    let link = element.firstElementChild;
    if (!link || link.tagName !== "A") {
      link = h("a");
      element.replaceChildren(link);
    }
    text(link, value[0]);
    attribute(link, "href", value[1]);
  } else {
    text(element, value);
  }
}
