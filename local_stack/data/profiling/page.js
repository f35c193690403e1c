"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  for (const each of document.querySelectorAll(".controls")) each.hidden = false;

  const cards = $("cards"), find = $("find"), order = $("order"), only = $("only"), open = $("open");
  if (find) {
    const all = [...cards.children];
    const keys = {
      place: () => 0,
      name: (a, b) => a.dataset.name.localeCompare(b.dataset.name),
      alerts: (a, b) => b.dataset.alerts - a.dataset.alerts,
      missing: (a, b) => b.dataset.missing - a.dataset.missing,
      distinct: (a, b) => b.dataset.distinct - a.dataset.distinct,
    };
    const filter = () => {
      const text = find.value.trim().toLowerCase();
      let n = 0;
      for (const card of all) {
        const isFound = card.dataset.name.includes(text) || card.dataset.kind.startsWith(text);
        card.hidden = !isFound || (only.checked && card.dataset.alerts === "0");
        n += !card.hidden;
      }
      $("n-shown").textContent = `${n} of ${all.length} shown`;
    };
    find.addEventListener("input", filter);
    only.addEventListener("change", filter);
    order.addEventListener("change", () => cards.append(...[...all].sort(keys[order.value])));
    open.addEventListener("click", () => {
      const isOpening = open.textContent.startsWith("Open");
      for (const card of all) card.querySelector("details").open = isOpening;
      open.textContent = isOpening ? "Close all details" : "Open all details";
    });
    filter();
  }

  const x = $("pair-x"), y = $("pair-y");
  if (x) {
    const groups = [...document.querySelectorAll(".pairs")];
    const choose = () => {
      for (const group of groups) {
        let n = 0;
        for (const pair of group.children) {
          const names = [pair.dataset.x, pair.dataset.y];
          pair.hidden = !((!x.value || names.includes(x.value)) && (!y.value || names.includes(y.value)));
          n += !pair.hidden;
        }
        group.classList.toggle("alone", n === 1);
      }
    };
    x.value = groups[0].dataset.first;
    choose();
    x.addEventListener("change", choose);
    y.addEventListener("change", choose);
  }

  for (const heat of document.querySelectorAll("[data-heat]")) {
    const values = heat.dataset.heat.split(","), n = Math.round(Math.sqrt(values.length));
    const names = [...heat.parentNode.querySelectorAll(".down li")].map((item) => item.textContent);
    const told = heat.closest(".scroll").querySelector(".told");
    heat.addEventListener("mousemove", (event) => {
      const box = heat.firstElementChild.getBoundingClientRect();
      const column = Math.floor((event.clientX - box.left) / box.width * n);
      const row = Math.floor((event.clientY - box.top) / box.height * n);
      const value = values[row * n + column];
      if (row < 0 || column < 0 || row >= n || column >= n || value === undefined) return;
      told.textContent = `${names[row]} · ${names[column]}: ${value === "" ? "not defined" : value / 100}`;
    });
  }
})();
