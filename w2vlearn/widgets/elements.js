// What every widget builds its parts with.

// An element. Attributes: true is there, false or null is not, "on…" is what happens at an event. Children: false or null is none.
function html(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child || child === 0));
  return node;
}
const option = (value, text) => html("option", { value }, text);
const labelled = (text, ...controls) => html("label", {}, html("span", {}, text), ...controls);

// A widget's outermost element keeps its keys: Jupyter takes arrows and letters from controls unless told not to.
function widget(attributes, ...children) {
  const node = html("div", { ...attributes, "data-lm-suppress-shortcuts": "true" }, ...children);
  node.addEventListener("keydown", (event) => event.stopPropagation());
  return node;
}
