// Rows of forms come and go without asking the server. Without this script the same buttons do it by sending the form.

const nextKey = (list) => {
  const used = [...list.children].map((row) => /\.n(\d+)$/.exec(row.dataset.row)).filter(Boolean).map((found) => Number(found[1]));
  return `n${used.length ? Math.max(...used) + 1 : 0}`;
};

const addRow = (button) => {
  const rows = button.closest("fieldset");
  const list = rows.querySelector(":scope > [data-rows]");
  const blank = rows.querySelector(":scope > template");
  const copy = document.createElement("template");
  // Rows inside of this one have a mark of their own, so only this row gets its key.
  copy.innerHTML = blank.innerHTML.replaceAll(blank.dataset.blank, nextKey(list));
  const row = copy.content.firstElementChild;
  list.append(row);
  row.setAttribute("aria-label", `${row.getAttribute("aria-label")} ${list.children.length}`);
  row.querySelector("input:not([type=hidden]), select, textarea")?.focus();
  changed(list);
};

const removeRow = (button) => {
  const row = button.closest("[data-row]");
  const list = row.parentElement;
  const neighbour = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  const next = neighbour ?? list.parentElement;
  next.querySelector("input:not([type=hidden]), select, textarea, [data-add]")?.focus();
  changed(list);
};

const changed = (place) => place.dispatchEvent(new Event("change", { bubbles: true }));

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-add], [data-remove]");
  if (!button) return;
  event.preventDefault();
  if (button.matches("[data-add]")) addRow(button);
  else removeRow(button);
});
