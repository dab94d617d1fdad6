// Whoever is sent a report opens it in a browser: on a wide and on a narrow screen, in the dark, and prints it.
// Arguments: pages, as files. Complains when the browser does, or when a page asks for anything but itself.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const { SCREENSHOT } = process.env;

// What a person would see of a page.
const look = () => {
  const seen = (element) => {
    const { width, height } = element.getBoundingClientRect();
    const { fill, visibility } = getComputedStyle(element);
    return width > 0 && height > 0 && visibility === "visible" && !/^(none|transparent)|, 0\)$/.test(fill);
  };
  const charts = [...document.querySelectorAll("svg")].map((svg) => ({
    name: svg.getAttribute("aria-label"),
    bars: [...svg.querySelectorAll("rect")].filter(seen).length,
    inside: [...svg.querySelectorAll("rect, text")].every((mark) => {
      const [chart, part] = [svg.getBoundingClientRect(), mark.getBoundingClientRect()];
      const fits = (near, far, min, max) => near >= min - 2 && far <= max + 2;
      return fits(part.left, part.right, chart.left, chart.right) && fits(part.top, part.bottom, chart.top, chart.bottom);
    }),
  }));
  return {
    charts,
    controls: document.querySelectorAll("section.card").length,
    overflows: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  };
};

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const told = [];
try {
  for (const file of process.argv.slice(2)) {
    const page = await browser.newPage({ viewport: { width: 1000, height: 1120 } });
    const trouble = [];
    const own = pathToFileURL(file).href;
    page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
    page.on("pageerror", (error) => trouble.push(String(error)));
    page.on("request", (request) => request.url() !== own && trouble.push(`asks for ${request.url()}`));
    await page.goto(own);
    const wide = await page.evaluate(look);
    if (SCREENSHOT && file === process.argv[2]) await page.screenshot({ path: SCREENSHOT });
    await page.setViewportSize({ width: 390, height: 800 });
    const narrow = await page.evaluate(look);
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await page.evaluate(look);
    const pdf = await page.pdf({ format: "A4", path: `${file}.pdf` });
    told.push({ wide, narrow, dark, pdf: pdf.subarray(0, 5).toString(), bytes: pdf.length, trouble });
    await page.close();
  }
  console.log(JSON.stringify(told));
} finally {
  await browser.close();
}
