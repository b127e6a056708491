// What is wider than its place scrolls; the keyboard can reach it only if it can have the focus.
function reachable() {
  for (const element of document.querySelectorAll('pre, div.cell_output, .table-wrapper, [style*="overflow"]')) {
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
    else element.removeAttribute("tabindex");
  }
}
addEventListener("load", reachable);
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true); // a fold was opened
