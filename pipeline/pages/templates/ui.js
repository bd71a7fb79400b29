"use strict";
// Tooltips, cards that open from anywhere, tabs, and the section that the reader is in. No library, no request.
(() => {
  const tip = document.getElementById("tip");
  let owner = null;

  function place(x, y) {
    const pad = 12;
    const { width, height } = tip.getBoundingClientRect();
    const left = x + pad + width > innerWidth ? x - pad - width : x + pad;
    const top = y + pad + height > innerHeight ? y - pad - height : y + pad;
    tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  }

  function show(target, x, y) {
    owner = target;
    tip.textContent = target.dataset.tip; // text, never markup
    tip.hidden = false;
    place(x, y);
  }

  function hide() {
    owner = null;
    tip.hidden = true;
  }

  document.addEventListener("pointermove", (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (target) show(target, event.clientX, event.clientY);
    else if (owner) hide();
  });
  document.addEventListener("focusin", (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (!target) return hide();
    const box = target.getBoundingClientRect();
    show(target, box.right, box.bottom);
  });
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());

  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  function openCard(id) {
    const card = document.getElementById(id);
    if (!(card instanceof HTMLDetailsElement)) return false;
    card.open = true;
    card.classList.remove("found");
    void card.offsetWidth; // restarts the animation
    card.classList.add("found");
    card.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth", block: "start" });
    card.querySelector("summary").focus({ preventScroll: true });
    return true;
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a");
    const href = link?.getAttribute("href") ?? "";
    if (!href.startsWith("#card-")) return;
    hide();
    if (openCard(href.slice(1))) {
      event.preventDefault();
      if (location.hash !== href) history.pushState(null, "", href);
    }
  });
  const follow = () => location.hash.startsWith("#card-") && openCard(location.hash.slice(1));
  addEventListener("hashchange", follow);
  follow();

  for (const list of document.querySelectorAll('[role="tablist"]')) {
    const tabs = [...list.querySelectorAll('[role="tab"]')];
    const select = (chosen) => {
      for (const tab of tabs) {
        const on = tab === chosen;
        tab.setAttribute("aria-selected", String(on));
        tab.tabIndex = on ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
      }
    };
    tabs.forEach((tab, i) => {
      tab.addEventListener("click", () => select(tab));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = tabs[(i + step + tabs.length) % tabs.length];
        select(next);
        next.focus();
      });
    });
  }

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.getAttribute("href").slice(1), a]));
  const watch = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((a) => a.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-30% 0px -65% 0px" },
  );
  document.querySelectorAll("main > section").forEach((section) => watch.observe(section));

  // Paper has no folds: before printing open what is outside the cards, and the cards of what was chosen; then fold it
  // again. The other cards print their heading, and how each number was made stays in the file.
  let folded = [];
  addEventListener("beforeprint", () => {
    const closed = [...document.querySelectorAll("details:not([open])")];
    folded = closed.filter((d) => "chosen" in d.dataset || !d.closest(".card, .licence"));
    folded.forEach((d) => (d.open = true));
  });
  addEventListener("afterprint", () => folded.forEach((d) => (d.open = false)));
})();
