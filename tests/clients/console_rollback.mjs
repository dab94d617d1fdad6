// An operator with a real browser goes back to an earlier version of a server: the first argument is the link to the
// console, the second the server's name, the third the version. Says what the page says then.

import { createRequire } from "node:module";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const [, , link, server, version] = process.argv;

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(8_000);
  const trouble = [];
  page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
  page.on("pageerror", (error) => trouble.push(String(error)));
  await page.goto(link);
  await page.getByRole("button", { name: "Open the console" }).click();
  await page.getByRole("link", { name: "Servers", exact: true }).click();
  await page.getByRole("link", { name: server, exact: true }).click();
  await page.getByRole("heading", { name: "Versions" }).waitFor();
  const before = await page.locator("body").innerText();
  await page.getByRole("button", { name: `Go back to version ${version}` }).click();
  await page.getByRole("status").waitFor();
  const after = await page.locator("body").innerText();
  if (trouble.length > 0) throw new Error(`the browser complains: ${trouble.join("; ")}`);
  console.log(JSON.stringify({ before, after }));
} finally {
  await browser.close();
}
