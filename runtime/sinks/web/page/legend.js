// The legend: a line for each class with its colour, a box to hide it, and its share of the picture.

/** Gives `build(classes)`, `show(shares)`, `toggle(id)`, `toggleAll()` and the set `hidden`; calls `changed` after a click. */
export function buildLegend(list, all, changed) {
  const hidden = new Set();
  let rows = [];
  let built = "";

  function build(classes) {
    const key = JSON.stringify(classes);
    if (key === built) return;
    built = key;
    hidden.clear();
    rows = classes.map(({ name, colour }, id) => row(name, colour, id));
    list.replaceChildren(...rows.map(({ item }) => item));
    say();
  }

  function row(name, colour, id) {
    const item = document.createElement("li");
    item.innerHTML = `<label><input type="checkbox" checked><span class="chip"></span><span class="name"></span><output></output><span class="share"><span></span></span></label>`;
    item.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
    item.querySelector(".name").textContent = name;
    if (id < 9) item.title = `key ${id + 1}`;
    const box = item.querySelector("input");
    box.onchange = () => set([id], box.checked);
    return { item, box, name, output: item.querySelector("output"), bar: item.querySelector(".share span") };
  }

  function set(ids, shown) {
    for (const id of ids) {
      rows[id].box.checked = shown;
      shown ? hidden.delete(id) : hidden.add(id);
    }
    say();
    changed();
  }

  function say() {
    all.textContent = hidden.size ? "show all" : "hide all";
  }

  function show(shares) {
    for (const { name, output, bar, item } of rows) {
      const share = shares[name] ?? 0;
      output.textContent = `${(100 * share).toFixed(1)} %`;
      bar.style.width = `${100 * share}%`;
      item.classList.toggle("absent", share < 0.0005);
    }
  }

  function toggle(id) {
    if (id < rows.length) set([id], hidden.has(id));
  }

  function toggleAll() {
    set(rows.keys(), hidden.size > 0);
  }

  all.onclick = toggleAll;
  return { hidden, build, show, toggle, toggleAll };
}
