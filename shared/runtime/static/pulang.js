// What screens have beyond what they need: everything works without this file.
// Hiding the page; drafts on the device; forms sent again until they are acknowledged; news.
"use strict";

const DAY = 24 * 60 * 60 * 1000;
const find = (id) => document.getElementById(id);
const words = () => find("kata").dataset;

// A browser may refuse to store anything. Then there are no drafts.
const stored = (act) => {
  try {
    return act();
  } catch {
    return null;
  }
};

// --- Hiding. Esc twice within a second; going back leads to the blank page again, until somebody
// opens the office anew.

let hidden = false;
const hide = () => {
  hidden = true;
  document.documentElement.hidden = true;
  stored(() => sessionStorage.setItem("sembunyi", "ya"));
  location.replace("/static/kosong.html");
};
const wasHidden = () => stored(() => sessionStorage.getItem("sembunyi")) === "ya";
const [came] = performance.getEntriesByType("navigation");
if (wasHidden() && came?.type === "back_forward") hide();
else stored(() => sessionStorage.removeItem("sembunyi"));
addEventListener("pageshow", (event) => {
  if (event.persisted && wasHidden()) hide();
});
let escaped = -Infinity;
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (event.timeStamp - escaped < 1000) hide();
  escaped = event.timeStamp;
});

// --- The line. This page has just come over it; from then on an answer of the office tells.

let heard = 0;
const waiters = new Set();
const tell = (on) => {
  const line = find("daring");
  const said = on ? line.dataset.on : line.dataset.off;
  if (line.textContent !== said) line.textContent = said;
  line.classList.toggle("off", !on);
  if (!on) return;
  heard = performance.now();
  for (const go of waiters) go();
};
const probe = async () => {
  const request = { cache: "no-store", signal: AbortSignal.timeout(8000) };
  tell(await fetch("/health/live", request).then((answer) => answer.ok, () => false));
};
const pause = (tries) =>
  new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      waiters.delete(go);
      resolve();
    };
    const timer = setTimeout(go, Math.min(60, 2 ** tries) * 1000 * (0.75 + Math.random() / 2));
    waiters.add(go);
  });

// --- Pages as the office has them now.

const pageOf = (text) => new DOMParser().parseFromString(text, "text/html");
const mainOf = (text) => pageOf(text).getElementById("isi");
const linkTo = (text, href, more = {}) => {
  const link = Object.assign(document.createElement("a"), { href, textContent: text, ...more });
  link.className = "link";
  return link;
};
const saySoon = (...what) => find("perubahan").replaceChildren(...what);

// The page that is open, asked for by itself: not a use of the session. Null where there is none.
const ask = async () => {
  const headers = { Accept: "text/html", "X-Pulang-Sendiri": "ya" };
  const answer = await fetch(location.href, { headers, redirect: "manual", cache: "no-store" });
  const page = answer.ok ? pageOf(await answer.text()) : null;
  // Also where somebody else has signed in meanwhile: what she typed is never sent in his name.
  const other = page && page.getElementById("kata")?.dataset.who !== words().who;
  if (page && !other) over = false;
  if (answer.type === "opaqueredirect" || other) {
    hush();
    end();
    saySoon(linkTo(words().over, "/masuk"));
  }
  return page && !other ? page.getElementById("isi") : null;
};

// A page without what differs each time that it is made.
let shown = null;
const bare = (main) => {
  const copy = main.cloneNode(true);
  for (const field of copy.querySelectorAll("[name=key], [name=csrf]")) field.removeAttribute("value");
  copy.removeAttribute("data-at");
  return copy;
};
const put = (main) => {
  find("isi").replaceWith(document.adoptNode(main));
  shown = bare(main);
  const problem = find("masalah");
  if (problem) problem.focus();
};

const typed = (field) => {
  if (field.type === "checkbox" || field.type === "radio")
    return field.checked !== field.defaultChecked;
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
  return field.selectedIndex !== Math.max(0, [...field.options].findIndex((o) => o.defaultSelected));
};
const openedIn = (main) => main.querySelectorAll("details[open]").length;
const inUse = (main) =>
  (document.activeElement !== main && main.contains(document.activeElement)) ||
  openedIn(main) !== openedIn(shown) ||
  [...main.querySelectorAll("input, select, textarea")].some(typed) ||
  !getSelection().isCollapsed;

// --- News: a stream says that something changed; the page looks whether it shows anything of it.

let news = null;
const hush = () => {
  news?.close();
  news = null;
};
const refresh = async () => {
  const main = await ask().catch(() => null);
  const now = find("isi");
  if (!main || !now.dataset.at) return;
  if (bare(main).isEqualNode(shown)) now.dataset.at = main.dataset.at;
  else if (inUse(now)) saySoon(linkTo(words().changed, location.href));
  else {
    put(main);
    saySoon(words().fresh);
  }
};
const listen = () => {
  const since = find("isi").dataset.at;
  if (news || !since || document.hidden) return;
  news = new EventSource(`/kabar?${new URLSearchParams({ di: location.pathname, sejak: since })}`);
  news.addEventListener("detak", () => tell(true));
  news.addEventListener("berubah", () => {
    tell(true);
    setTimeout(refresh, Math.random() * 500);
  });
  news.addEventListener("selesai", () => {
    hush();
    refresh();
  });
  news.onerror = () => {
    probe();
    // Refused for good: the page asks once for itself, and learns whether its session is over.
    if (news?.readyState === EventSource.CLOSED) refresh();
  };
};

// --- Drafts. Only fields that the office lets lie on a device (data-keep), for a day, for whoever
// typed them, until the office has acknowledged the form or her session is over.

const place = () => {
  const query = new URLSearchParams(location.search);
  // What was searched for may be a name.
  for (const name of ["tersimpan", "sama", "cari"]) query.delete(name);
  return `${location.pathname}?${query}`;
};
const actOf = (form) => form.querySelector("input[type=hidden][name=act]");
const keyOf = (form) => form.querySelector("input[type=hidden][name=key]");
const keptIn = (form) => {
  const names = (actOf(form).dataset.keep ?? "").split(" ").filter(Boolean);
  return [...form.elements].filter((e) => names.includes(e.name) && !/hidden|file|submit/.test(e.type));
};
const enteredIn = (form) =>
  [...form.elements].filter((e) => e.name && !/hidden|submit|button/.test(e.type));
const nameOf = (form) => {
  const fixed = [...form.querySelectorAll("input[type=hidden]")].filter(
    (field) => field.name !== "csrf" && field.name !== "key",
  );
  return `draf ${place()} ${fixed.map((field) => field.value).join(" ")}`;
};
const sweep = (goes) => {
  for (const name of stored(() => Object.keys(localStorage)) ?? []) {
    if (!name.startsWith("draf ")) continue;
    const draft = stored(() => JSON.parse(localStorage.getItem(name)));
    if (!draft || goes(draft)) localStorage.removeItem(name);
  }
};
const isMine = (draft) => draft.who === words().who;
const state = (form, text, ...more) => {
  let line = form.nextElementSibling;
  if (!line?.matches(".state")) {
    line = Object.assign(document.createElement("p"), { className: "state" });
    line.setAttribute("role", "status");
    form.after(line);
  }
  line.replaceChildren(text, ...more);
};
const keep = (form, sent) => {
  const kept = keptIn(form);
  if (over || !kept.length) return false;
  const fields = kept
    .filter((field) => field.checked || !/checkbox|radio/.test(field.type))
    .map((field) => [field.name, field.value]);
  const draft = { who: words().who, at: Date.now(), key: keyOf(form).value, sent, fields };
  return stored(() => localStorage.setItem(nameOf(form), JSON.stringify(draft)) ?? true) ?? false;
};
const forget = (form) => stored(() => localStorage.removeItem(nameOf(form)));
const draftOf = (form) => stored(() => JSON.parse(localStorage.getItem(nameOf(form))));
const restore = (form) => {
  const draft = draftOf(form);
  if (!draft) return;
  const left = [...draft.fields];
  for (const field of keptIn(form)) {
    const at = left.findIndex(
      ([name, value]) =>
        name === field.name && (!/checkbox|radio/.test(field.type) || value === field.value),
    );
    if (/checkbox|radio/.test(field.type)) field.checked = at >= 0;
    else if (at >= 0) field.value = left.splice(at, 1)[0][1];
  }
  if (draft.sent) keyOf(form).value = draft.key;
  form.closest("details")?.setAttribute("open", "");
  const drop = Object.assign(document.createElement("button"), { textContent: words().drop });
  drop.className = "quiet";
  drop.addEventListener("click", () => {
    forget(form);
    location.reload();
  });
  state(form, draft.sent ? words().unsure : words().again, " ", drop);
};
// Her session is over: what she typed stays on this page alone.
let over = false;
const end = () => {
  over = true;
  for (const form of document.forms) if (isOurs(form) && draftOf(form)) state(form, words().only);
  sweep(isMine);
};
const note = (form) => {
  // What was sent, and may have been recorded, stays that, with its key, also where she types on.
  const draft = draftOf(form);
  const unsure = Boolean(draft?.sent) && draft.key === keyOf(form)?.value;
  const kept = keep(form, unsure);
  const whole = kept && keptIn(form).length === enteredIn(form).length;
  if (unsure) state(form, words().unsure);
  else state(form, whole ? words().device : kept ? words().partly : words().only);
};

// --- Sending: the same form with the same key, again and again, until the office has answered.
// A form without a key (a look, a question to another office) takes any answer: sent again it would
// be on record twice.

let stale = false;
const bodyOf = (form, button) => {
  const data = new FormData(form);
  if (button?.name) data.append(button.name, button.value);
  return form.enctype === "multipart/form-data" ? data : new URLSearchParams(data);
};
const send = async (form, button) => {
  const body = bodyOf(form, button);
  const kept = keep(form, true);
  form.setAttribute("aria-busy", "true");
  form.inert = true;
  if (stale) {
    // She has signed in again meanwhile: a form of the session before would be refused.
    const token = (await ask().catch(() => null))?.querySelector("[name=csrf]")?.value;
    if (token) body.set("csrf", token);
  }
  const request = {
    method: "POST",
    body,
    headers: { Accept: "text/html", "X-Pulang-Kirim": "ya", "X-CSRF-Token": body.get("csrf") },
    redirect: "manual",
  };
  for (let tries = 0; ; tries += 1) {
    state(form, words().sending);
    // A scan over a slow line is on its way for long, and would begin anew each time.
    const most = body instanceof FormData ? 180000 : keyOf(form) ? 30000 : 60000;
    const signal = AbortSignal.timeout(most);
    const answer = await fetch(form.getAttribute("action"), { ...request, signal }).catch(() => null);
    if (answer && (!keyOf(form) || (answer.status < 500 && answer.status !== 429))) {
      tell(true);
      return settle(form, answer);
    }
    tell(answer !== null);
    state(form, answer ? words().sent : kept ? words().unanswered : words().stay);
    await pause(tries);
  }
};
const settle = async (form, answer) => {
  if (answer.headers.get("Content-Type")?.startsWith("application/json")) {
    forget(form);
    state(form, words().acknowledged);
    const to = new URL((await answer.json()).ke, location.href);
    const same = to.pathname + to.search === location.pathname + location.search;
    location.assign(to);
    if (same) location.reload(); // Another place on the same page is no new page to a browser.
    return;
  }
  form.removeAttribute("aria-busy");
  form.inert = false;
  if (answer.type === "opaqueredirect") {
    stale = true;
    end();
    state(form, words().signin, " ", linkTo(words().over, "/masuk", { target: "_blank" }));
    return;
  }
  keep(form, false);
  const main = mainOf(await answer.text());
  if (answer.ok || main?.querySelector("#masalah")) put(main);
  else state(form, main?.querySelector("h1")?.textContent ?? words().refused);
};

// A form that leads to a file is the browser's own affair.
const isOurs = (form) => form.closest("main") && !("file" in form.dataset) && actOf(form);
const begin = () => {
  find("sembunyi").querySelector(".keys").hidden = false;
  find("sembunyi").addEventListener("click", (event) => {
    event.preventDefault();
    hide();
  });
  // Where a page came back with an error, the summary is what is read first.
  const problem = find("masalah");
  if (problem) problem.focus();
  shown = bare(find("isi"));
  tell(true);
  addEventListener("online", probe);
  addEventListener("offline", () => tell(false));
  setInterval(() => {
    if (!document.hidden && performance.now() - heard > 40000) probe();
  }, 20000);
  sweep((draft) => (words().who && !isMine(draft)) || !(Date.now() - draft.at < DAY));
  for (const form of document.forms) if (isOurs(form) && !problem) restore(form);
  document.addEventListener("input", ({ target }) => {
    if (target.form && isOurs(target.form)) note(target.form);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.getAttribute("action") === "/keluar") sweep(() => true);
    if (!isOurs(form)) return;
    event.preventDefault();
    if (!form.hasAttribute("aria-busy")) send(form, event.submitter);
  });
  // What waits and lies nowhere but in this page.
  addEventListener("beforeunload", (event) => {
    const busy = [...document.querySelectorAll("form[aria-busy]")];
    const waits = busy.some((form) => over || !keptIn(form).length);
    if (waiters.size && waits && !hidden) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  addEventListener("pagehide", hush);
  listen();
};
document.addEventListener("DOMContentLoaded", begin);
