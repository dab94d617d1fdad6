// A person with a real browser at anybody's login: fills in what forms ask for, sends them, until there is none left.
// `CODE` is entered where a device's code is asked for. Prints the last page's text.

import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.NODE_MODULES}/`)("playwright-core");
const { PERSON, PASSWORD, CODE } = process.env;
const known = { user: PERSON, login: PERSON, password: PASSWORD, user_code: CODE };

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.goto(process.argv[2]);
  for (let n = 0; n < 10; n++) {
    const send = page.locator('button.main, button[type="submit"]:not([name="abort"])').first();
    if ((await send.count()) === 0) break;
    for (const [name, text] of Object.entries(known)) {
      const field = page.locator(`input[name="${name}"]:not([type="hidden"])`).first();
      if (text && (await field.count()) > 0 && (await field.inputValue()) === "") await field.fill(text);
    }
    await Promise.all([page.waitForNavigation({ timeout: 20_000 }), send.click()]);
  }
  console.log((await page.locator("body").innerText()).replaceAll("\n", " "));
} finally {
  await browser.close();
}
