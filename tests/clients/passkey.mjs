// A person with a real browser and an authenticator that CDP plays: adds a passkey at `GRANTS` after logging in with a
// password, logs in with it at `AUTHORIZE`, allows it, and tries what must not work. Says what happened, a line each.

import { createRequire } from "node:module";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const { GRANTS, AUTHORIZE, PERSON, PASSWORD } = process.env;

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const say = (what, more) => console.log(JSON.stringify({ what, ...more }));
try {
  const context = await browser.newContext({ viewport: { width: 640, height: 800 } });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const trouble = [];
  page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
  page.on("pageerror", (error) => trouble.push(String(error)));
  const cdp = await context.newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const options = {
    protocol: "ctap2",
    transport: "internal",
    hasResidentKey: true,
    hasUserVerification: true,
    isUserVerified: true,
    automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", { options });
  const credentials = async () => (await cdp.send("WebAuthn.getCredentials", { authenticatorId })).credentials;

  await page.goto(GRANTS);
  await page.getByLabel("Name").fill(PERSON);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
  await page.getByRole("button", { name: "Add a passkey" }).click();
  const told = await page.getByRole("status").textContent();
  say("added", { told, held: (await credentials()).length });
  // Whoever has one by now does not add another by the password alone.
  await page.goto(GRANTS);
  await page.getByLabel("Name").fill(PERSON);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
  await page.getByText("To add one, log in with").waitFor();
  say("second", { buttons: await page.getByRole("button", { name: "Add a passkey" }).count() });

  // With it, the person is let in; what the browser sent is kept, to be sent again.
  let sent;
  await page.route("**/oauth/authorize", (route) => {
    sent ??= route.request().postData();
    return route.continue();
  });
  await page.goto(AUTHORIZE);
  await page.getByRole("button", { name: "Log in with a passkey" }).click();
  await page.getByRole("button", { name: "Allow", exact: true }).click();
  await page.waitForURL((url) => url.searchParams.has("code"));
  say("let in", { url: page.url() });
  const again = await context.request.post(new URL("/oauth/authorize", GRANTS).href, {
    headers: { "content-type": "application/x-www-form-urlencoded", origin: new URL(GRANTS).origin },
    data: sent,
  });
  say("replayed", { status: again.status(), text: await again.text() });

  // An authenticator that does not know who holds it signs nothing here.
  await cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  await page.goto(AUTHORIZE);
  await page.getByRole("button", { name: "Log in with a passkey" }).click();
  await page.getByText("Your browser gave no passkey").waitFor();
  say("unverified", {});
  if (trouble.length > 0) say("trouble", { trouble });
  // A copy from before counts less than what was used since.
  await cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
  const [credential] = await credentials();
  await cdp.send("WebAuthn.removeCredential", { authenticatorId, credentialId: credential.credentialId });
  const copy = { ...credential, signCount: 0 };
  await cdp.send("WebAuthn.addCredential", { authenticatorId, credential: copy });
  await page.goto(AUTHORIZE);
  await page.getByRole("button", { name: "Log in with a passkey" }).click();
  say("copied", { told: await page.locator("p.bad[role=alert]", { hasText: "passkey" }).first().textContent() });
  // Whoever has the key, with a counter that goes on, is the person until the passkey is removed.
  await cdp.send("WebAuthn.removeCredential", { authenticatorId, credentialId: credential.credentialId });
  await cdp.send("WebAuthn.addCredential", { authenticatorId, credential: { ...credential, signCount: 100 } });
  say("removed?", {});
  await new Promise((go) => process.stdin.once("data", go));
  await page.goto(AUTHORIZE);
  await page.getByRole("button", { name: "Log in with a passkey" }).click();
  say("gone", { told: await page.locator("p.bad[role=alert]", { hasText: "passkey" }).first().textContent() });
} finally {
  await browser.close();
}
process.exit(0);
