// A person with a real browser: opens the URL, logs in, reads what is asked, allows it. Keyboard alone, and elements by
// what a screen reader would call them. With `DOOR`, the person follows that link and logs in at the certified provider of
// npm. Prints where the browser ends up.

import { createRequire } from "node:module";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const { DOOR, PERSON, PASSWORD, SCREENSHOT } = process.env;

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 640, height: 800 } });
  const trouble = [];
  page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
  page.on("pageerror", (error) => trouble.push(String(error)));
  await page.goto(process.argv[2]);
  if (DOOR) {
    await page.getByRole("link", { name: DOOR }).focus();
    await page.keyboard.press("Enter");
    await page.getByPlaceholder("Enter any login").fill(PERSON, { timeout: 20_000 });
    await page.getByPlaceholder("and password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Continue" }).click({ timeout: 20_000 });
  } else {
    // The first field gets the focus by itself.
    await page.getByLabel("Name").and(page.locator(":focus")).waitFor({ timeout: 20_000 });
    await page.keyboard.type(PERSON);
    await page.keyboard.press("Tab");
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
  }
  const allow = page.getByRole("button", { name: "Allow", exact: true });
  await allow.waitFor({ timeout: 20_000 });
  if (SCREENSHOT) await page.screenshot({ path: SCREENSHOT, fullPage: true });
  // The provider's pages are not ours.
  if (trouble.length > 0 && !DOOR) throw new Error(`the browser complains: ${trouble.join("; ")}`);
  await allow.focus();
  await page.keyboard.press("Enter");
  // Coming back from the provider there is a code in the address, too, and not the client's.
  const isClients = (url) => url.searchParams.has("code") && !url.pathname.startsWith("/oauth/");
  await page.waitForURL(isClients, { timeout: 20_000 });
  console.log(page.url());
} finally {
  await browser.close();
}
