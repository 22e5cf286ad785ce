"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = (selector, from = document) => from.querySelector(selector);
  const bad = new Set(["failed", "crashed", "timeout", "error"]);

  // The filter: rows and columns of the matrix, rows of the summary, counterexamples.
  const form = one("form.filter");
  const heads = all(".matrix thead .name");
  const rows = all("table.matrix tbody tr:not(.chapter)").map((row) => {
    const cells = all("td", row);
    return { row, cells, bad: cells.map((cell) => [...cell.classList].some((c) => bad.has(c))) };
  });
  const filter = () => {
    const name = form.elements.name.value.trim().toLowerCase();
    const chapter = form.elements.chapter.value;
    const failures = form.elements.failures.checked;
    const named = (element) => element.dataset.name.toLowerCase().includes(name);
    const inChapter = (row) => !chapter || row.closest("tbody").dataset.chapter === chapter;

    const due = rows.filter(({ row }) => inChapter(row));
    const shown = heads.map(
      (head, i) => named(head) && (!failures || due.some((each) => each.bad[i])),
    );
    heads.forEach((head, i) => { head.hidden = !shown[i]; });
    let clauses = 0;
    for (const { row, cells, bad } of rows) {
      cells.forEach((cell, i) => { cell.hidden = !shown[i]; });
      row.hidden = !inChapter(row) || (failures && !bad.some((b, i) => b && shown[i]));
      clauses += row.hidden ? 0 : 1;
    }
    for (const body of all("table.matrix tbody")) {
      body.hidden = all("tr:not(.chapter)", body).every((row) => row.hidden);
    }
    for (const kind of all(".matrix thead .kind")) {
      const own = heads.filter((head) => head.dataset.kind === kind.dataset.kind && !head.hidden);
      kind.hidden = own.length === 0;
      kind.colSpan = own.length || 1;
    }
    for (const row of all("#summary tbody tr")) {
      row.hidden = !named(row) || (failures && !row.classList.contains("has-failures"));
    }
    const kept = (finding) => finding.dataset.clauses.split(" ")
      .some((id) => !chapter || id.split("-")[0] === chapter);
    for (const section of all(".implementation")) {
      const findings = all(".finding", section);
      findings.forEach((finding) => { finding.hidden = !kept(finding); });
      section.hidden = !named(section) || findings.every((finding) => finding.hidden);
    }
    const columns = shown.filter(Boolean).length;
    one("output", form).textContent = clauses === rows.length && columns === heads.length
      ? "" : `${clauses} of ${rows.length} clauses, ${columns} of ${heads.length} columns`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  // A failing cell opens its counterexamples beside the matrix.
  const panel = one("dialog");
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-clause]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { section, clause } = link.dataset;
    const source = document.getElementById(section);
    const row = link.closest("tr");
    one("h2", panel).textContent = `${clause} · ${one("h3 span", source).textContent} `
      + `(${one(".of", source).textContent})`;
    one(".lead", panel).textContent = one(".title", row).textContent;
    const findings = all(".finding", source)
      .filter((finding) => finding.dataset.clauses.split(" ").includes(clause))
      .map((finding) => finding.cloneNode(true));
    findings.forEach((finding, i) => {
      finding.removeAttribute("id");
      finding.hidden = false;
      finding.open = i < 3;
      all("[id]", finding).forEach((element) => element.removeAttribute("id"));
    });
    one(".content", panel).replaceChildren(...findings);
    panel.showModal();
    panel.scrollTop = 0;
  });
  panel.addEventListener("click", (event) => {
    if (event.target === panel || event.target.closest(".close")) panel.close();
  });

  // What a link leads to is open.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const finding = target && target.closest(".finding");
    if (finding) { finding.open = true; finding.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  reveal();

  all(".copy").forEach((button) => { button.hidden = false; });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest(".copy");
    if (!button) return;
    const code = one("code", button.parentElement);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
})();
