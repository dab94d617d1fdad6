// An operator with a real browser: opens the link, looks at every page, reads what waits, decides it, stops an agent and
// lets it go on. Elements by what a screen reader would call them. Complains when the browser does.

import { createRequire } from "node:module";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const { SCREENSHOT } = process.env;

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const told = {};
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  page.setDefaultTimeout(20_000);
  const trouble = [];
  page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
  page.on("pageerror", (error) => trouble.push(String(error)));
  await page.goto(process.argv[2]);
  await page.getByRole("button", { name: "Open the console" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  if (SCREENSHOT) await page.screenshot({ path: SCREENSHOT });
  told.pages = [];
  for (const name of ["Servers", "Agents", "Incidents", "Ledger", "Policy", "Kill switch", "Approvals"]) {
    await page.getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    told.pages.push(name);
  }
  told.approval = await page.locator("[data-approval]").innerText();
  if (SCREENSHOT) await page.screenshot({ path: SCREENSHOT.replace(".png", "-approval.png") });
  await page.getByRole("button", { name: "Approve exactly this, once" }).click();
  await page.getByRole("status").waitFor();
  told.said = await page.getByRole("status").innerText();
  await page.getByRole("link", { name: "Kill switch" }).click();
  await page.getByLabel("Name").fill("tester");
  await page.getByLabel("Why").fill("a drill");
  await page.getByRole("button", { name: "Stop at once" }).click();
  await page.getByRole("cell", { name: "a drill" }).waitFor();
  await page.getByRole("button", { name: "Let it go on" }).click();
  await page.getByText("Nothing is stopped.").waitFor();
  // What an agent wrote is text, and the page is loaded again without a click.
  await page.getByRole("link", { name: "Overview" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  told.injected = await page.evaluate(() => globalThis.injected ?? false);
  await page.waitForResponse((answer) => new URL(answer.url()).pathname === "/console" && answer.ok());
  told.cookie = (await page.context().cookies()).map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite }));
  await page.getByRole("button", { name: "Leave" }).click();
  await page.waitForURL((url) => url.pathname === "/console/login");
  if (trouble.length > 0) throw new Error(`the browser complains: ${trouble.join("; ")}`);
  console.log(JSON.stringify(told));
} finally {
  await browser.close();
}
