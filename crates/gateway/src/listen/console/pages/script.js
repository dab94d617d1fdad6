// Loads the page it is on again every few seconds, so that what waits is seen without a click. Without it everything
// works all the same. It changes nothing while somebody types, has something open, or looks elsewhere.
"use strict";
(() => {
  const busy = (main) =>
    document.hidden || main.querySelector("details[open]") || main.contains(document.activeElement) && document.activeElement !== main;
  const again = async () => {
    const main = document.querySelector("main[data-live]");
    if (!main) return;
    try {
      if (!busy(main)) {
        const answer = await fetch(location.pathname + location.search, {
          credentials: "same-origin",
          headers: { "Sallyport-Again": "1" }, // Else nobody would ever be away.
        });
        if (answer.redirected) location.assign(answer.url);
        const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main[data-live]");
        if (answer.ok && next && !busy(main) && next.innerHTML !== main.innerHTML) main.replaceChildren(...next.childNodes);
      }
    } catch {
      // The gateway is away; the next look tells.
    }
    setTimeout(again, 3000);
  };
  setTimeout(again, 3000);
})();
