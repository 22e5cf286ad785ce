"use strict";
(async () => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = (selector, from = document) => from.querySelector(selector);
  const packed = Uint8Array.from(atob(one("#data").textContent), (sign) => sign.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const data = await new Response(unpacked).json();
  const bad = new Set(["failed", "crashed", "timeout", "error"]);
  const form = one("form.filter");
  const panel = one("dialog");
  const make = (tag, name, ...inside) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.append(...inside);
    return element;
  };

  // Where one is: an address that stays, and behind "?" the filters. A frame without an address
  // of its own (srcdoc) has these too: nothing here is relative to the document's base.
  const plain = (text) => {
    try { return decodeURIComponent(text); } catch { return text; }
  };
  const place = () => {
    const [, address, query] = location.hash.match(/^#?([^?]*)\??(.*)$/s);
    return { address, query };
  };
  const asked = () => {
    const query = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...query]) if (!value.trim()) query.delete(name);
    return query.toString();
  };
  const url = (address) => {
    const query = asked();
    return `${location.href.split("#")[0]}#${address}${query ? `?${query}` : ""}`;
  };
  const go = (address) => {
    const depth = panel.open ? (history.state?.depth ?? 0) + 1 : 1;
    history.pushState({ depth }, "", url(address));
    show();
  };

  // What can be shown: implementations, clauses, and what came of the one for the other.
  const table = one("table.matrix");
  const heads = all("thead .name", table);
  const rows = all("tbody tr:not(.chapter)", table).map((row) => ({
    row,
    cells: all("td", row),
    outcomes: all("td", row).map((cell) => cell.classList[0]),
    text: row.textContent.toLowerCase(),
  }));
  const clauses = new Map(rows.map(({ row }) => [row.id, row]));
  const columns = new Map(data.columns.map((column, i) => [plain(column.address), i]));
  const found = (address) => {
    const text = plain(address);
    if (clauses.has(text)) return { clause: text };
    if (columns.has(text)) return { column: columns.get(text) };
    const slash = text.lastIndexOf("/");
    const [column, clause] = [columns.get(text.slice(0, slash)), text.slice(slash + 1)];
    return column !== undefined && clauses.has(clause) ? { column, clause } : {};
  };

  // The filters hold for everything that is of an implementation or of a clause.
  const homes = new Map();
  for (const each of all("[data-sorted]")) homes.set(each, [...each.children]);
  const orders = {
    failures: (element) => -Number(element.dataset.failures),
    time: (element) => -Number(element.dataset.seconds),
    name: (element) => (element.dataset.name ?? element.id).toLowerCase(),
  };
  const sort = (by) => {
    for (const [parent, children] of homes) {
      const key = orders[by];
      const sorted = key ? [...children].sort((a, b) => {
        const [one, other] = [key(a), key(b)];
        return one < other ? -1 : one > other ? 1 : 0;
      }) : children;
      if (sorted.some((child, i) => child !== parent.children[i])) parent.append(...sorted);
    }
  };
  const filter = () => {
    const of = Object.fromEntries(new FormData(form));
    const lower = (text) => (text ?? "").trim().toLowerCase();
    const wanted = (outcome) => !of.outcome
      || (of.outcome === "failing" ? bad.has(outcome) : outcome === of.outcome);
    const fits = (column) => column.title.toLowerCase().includes(lower(of.name))
      && (!of.kind || column.kind === of.kind) && (!of.verdict || column.verdict === of.verdict);
    const due = rows.filter(({ row, text }) => (!of.chapter || row.dataset.chapter === of.chapter)
      && (!of.level || row.dataset.level === of.level) && text.includes(lower(of.text)));
    const shown = data.columns.map((column, i) => fits(column)
      && (!of.outcome || due.some(({ outcomes }) => wanted(outcomes[i]))));
    const kept = new Set(due.filter(({ outcomes }) => {
      const seen = outcomes.filter((outcome, i) => shown[i]);
      const told = new Set(seen.filter((outcome) => outcome !== "not-applicable"));
      return (!of.outcome || seen.some(wanted)) && (!of.differ || told.size > 1);
    }).map(({ row }) => row.id));

    heads.forEach((head, i) => { head.hidden = !shown[i]; });
    for (const { row, cells } of rows) {
      row.hidden = !kept.has(row.id);
      cells.forEach((cell, i) => { cell.hidden = !shown[i]; });
    }
    for (const body of all("tbody", table)) {
      body.hidden = all("tr:not(.chapter)", body).every((row) => row.hidden);
    }
    for (const kind of all("thead .kind", table)) {
      const own = heads.filter((head) => head.dataset.kind === kind.dataset.kind && !head.hidden);
      kind.hidden = own.length === 0;
      kind.colSpan = own.length || 1;
    }
    const some = kept.size < rows.length;
    for (const each of all("[data-clauses]")) {
      each.hidden = some && !each.dataset.clauses.split(" ").some((id) => kept.has(id))
        || Boolean(of.kind && each.dataset.kinds && !each.dataset.kinds.split(" ").includes(of.kind));
    }
    for (const each of all("[data-column]")) each.hidden = !shown[each.dataset.column];
    for (const cause of all("section.cause")) {
      cause.hidden = all(".finding", cause).every((finding) => finding.hidden);
    }
    sort(of.sort);
    const visible = shown.filter(Boolean).length;
    const nothing = !visible || !kept.size;
    for (const each of all(".nothing")) each.hidden = !nothing;
    one("output", form).textContent = nothing ? "No match" : !asked() ? ""
      : `${kept.size} of ${rows.length} clauses, ${visible} of ${heads.length} columns`;
    one("[type=reset]", form).hidden = !asked();
    rove();
  };
  const fill = (query) => {
    form.reset();
    for (const [name, value] of new URLSearchParams(query)) {
      const field = form.elements[name];
      if (!field) continue;
      if (field.type === "checkbox") field.checked = true;
      else field.value = value;
    }
  };

  // What is not shown is data until it is opened.
  const open = (finding, position) => {
    const body = one(".body", finding);
    if (!body || body.dataset.open) return;
    body.dataset.open = "yes";
    body.innerHTML = data.findings[position];
    all(".copy", body).forEach((button) => { button.hidden = false; });
  };
  document.addEventListener("toggle", (event) => {
    const at = event.target.dataset?.finding;
    if (at !== undefined && event.target.open) open(event.target, at);
    const hidden = event.target.open && one("[data-fragment]", event.target);
    if (hidden) hidden.outerHTML = data.fragments[hidden.dataset.fragment];
  }, true);

  // The panel: a clause, or what came of it for one implementation.
  const outcome = (name, ...more) => make("p", "outcome", make("span", `key ${name}`, name), ...more);
  const link = (address, text) => {
    const a = make("a", "", text);
    a.href = `#${address}`;
    return a;
  };
  const about = (row) => {
    const parts = [make("p", "lead", one(".title", row).textContent)];
    const advice = one(".advice", row);
    if (advice) parts.push(make("p", "advice", make("b", "", "Often wrong: "), advice.textContent));
    const source = one(".source", row);
    if (source) parts.push(make("p", "source", source.cloneNode(true)));
    return parts;
  };
  const ofClause = (clause) => {
    const list = make("ul", "outcomes");
    const { outcomes } = rows.find(({ row }) => row.id === clause);
    data.columns.forEach((column, i) => {
      const name = make("bdi", "", column.title);
      list.append(make("li", "", outcome(outcomes[i], " ", link(`${column.address}/${clause}`, name))));
    });
    return [clause, [...about(clauses.get(clause)), list]];
  };
  const ofCell = (at, clause) => {
    const column = data.columns[at];
    const text = (i) => data.texts[i];
    const checks = column.checks.filter((check) => text(check[4]).split(" ").includes(clause));
    const { outcomes } = rows.find(({ row }) => row.id === clause);
    const name = make("bdi", "", column.title);
    const parts = [outcome(outcomes[at], ` ${outcomes[at].replace("-", " ")} · `,
      link(column.address, name)), ...about(clauses.get(clause))];
    if (outcomes[at] === "not-applicable") parts.push(make("p", "", `${clause} is not about ${column.kind}.`));
    else if (!checks.length) parts.push(make("p", "", "No check of the clause ran."));
    const list = make("ul", "checks");
    let opened = 0;
    for (const [sentence, result, cases, reason, , position] of checks) {
      if (position === null) {
        list.append(make("li", "", make("span", `key ${text(result).replace(" ", "-")}`, text(result)),
          ` ${text(sentence)}`, make("span", "amount", ` ${cases} ${cases === 1 ? "case" : "cases"}`),
          ...(text(reason) ? [make("p", "reason", text(reason))] : [])));
        continue;
      }
      const finding = make("details", "finding", make("summary", "", make("span", "what",
        make("span", `key ${text(result).replace(" ", "-")}`, text(result)), ` ${text(sentence)}`)),
        make("div", "body"));
      open(finding, position);
      finding.open = opened < 3;
      opened += 1;
      parts.push(finding);
    }
    return [clause, [...parts, list]];
  };
  const show = () => {
    const { address, query } = place();
    const { column, clause } = found(address);
    fill(query);
    filter();
    // A link to what is filtered out shows it.
    if ((column !== undefined && heads[column].hidden) || (clause && clauses.get(clause).hidden)) {
      form.reset();
      history.replaceState(history.state, "", url(address));
      filter();
    }
    if (clause) {
      const [title, parts] = column === undefined ? ofClause(clause) : ofCell(column, clause);
      one("h2", panel).textContent = title;
      one(".content", panel).replaceChildren(...parts);
      if (!panel.open) panel.showModal();
      panel.scrollTop = 0;
      return;
    }
    if (panel.open) panel.close();
    const target = document.getElementById(address) ?? document.getElementById(plain(address));
    if (!address || !target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
    target.focus({ preventScroll: true });
    target.scrollIntoView();
  };
  panel.addEventListener("close", () => {
    if (!found(place().address).clause) return;
    if (history.state?.depth) history.go(-history.state.depth);
    else history.replaceState(null, "", url(""));
  });
  panel.addEventListener("click", (event) => {
    if (event.target === panel || event.target.closest(".close")) panel.close();
  });

  // The matrix by keyboard: one stop of the tabulator, arrows inside.
  const lines = () => [
    [one("thead th.corner", table), ...heads.filter((head) => !head.hidden)],
    ...rows.filter(({ row }) => !row.hidden)
      .map(({ row, cells }) => [one("th", row), ...cells.filter((cell) => !cell.hidden)]),
  ];
  const rove = (to) => {
    const stop = to ?? all("[tabindex='0']", table).find((cell) => cell.checkVisibility())
      ?? lines()[1]?.[0] ?? lines()[0][0];
    for (const cell of all("[tabindex='0']", table)) cell.tabIndex = -1;
    stop.tabIndex = 0;
  };
  const addressed = (cell) => {
    const { id } = cell.closest("tr");
    const at = rows.find(({ row }) => row.id === id)?.cells.indexOf(cell) ?? -1;
    if (at >= 0) return `${data.columns[at].address}/${id}`;
    return id || data.columns[heads.indexOf(cell)]?.address;
  };
  const moves = {
    ArrowUp: (y, x) => [y - 1, x], ArrowDown: (y, x) => [y + 1, x],
    ArrowLeft: (y, x) => [y, x - 1], ArrowRight: (y, x) => [y, x + 1],
    Home: (y) => [y, 0], End: (y) => [y, Infinity],
    PageUp: (y, x) => [y - 10, x], PageDown: (y, x) => [y + 10, x],
  };
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("th, td");
    if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      const address = addressed(cell);
      if (event.target.closest("a") || !address) return;
      event.preventDefault();
      go(address);
      return;
    }
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const grid = lines();
    const y = grid.findIndex((line) => line.includes(cell));
    if (y < 0) return;
    const within = (value, list) => Math.max(0, Math.min(value, list.length - 1));
    const [down, right] = move(y, grid[y].indexOf(cell));
    const line = grid[within(down, grid)];
    const next = line[within(right, line)];
    rove(next);
    next.focus();
  });
  table.setAttribute("role", "grid");
  for (const cell of all("th.corner, th.name, tbody tr:not(.chapter) > *", table)) cell.tabIndex = -1;
  for (const inner of all("a", table)) inner.tabIndex = -1;
  one(".scroll.matrix").removeAttribute("tabindex");

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const a = event.target.closest("a[href]");
    const href = a?.getAttribute("href");
    const cell = !a && event.target.closest("table.matrix tbody td");
    if (href?.startsWith("#")) {
      event.preventDefault();
      go(href.slice(1));
    } else if (cell) {
      rove(cell);
      go(addressed(cell));
    }
  });
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
  all(".copy").forEach((button) => { button.hidden = false; });

  form.hidden = false;
  const changed = () => {
    history.replaceState(history.state, "", url(place().address));
    filter();
  };
  form.addEventListener("input", changed);
  form.addEventListener("reset", () => setTimeout(changed));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("popstate", show);
  show();
  document.documentElement.dataset.ready = "yes";
})();
