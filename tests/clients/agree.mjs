// A person with a browser: opens the gateway's link, goes on, signs in and agrees at the certified provider, and comes back.
// Prints the last page. With `STRANGER`, another browser opens what leads back.

const { LINK, SECRET, STRANGER } = process.env;
const jars = new Map();

async function step(url, form) {
  const { host } = new URL(url);
  if (!jars.has(host)) jars.set(host, new Map());
  const jar = jars.get(host);
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  const init = form ? { method: "POST", body: new URLSearchParams(form) } : {};
  const headers = STRANGER && url.includes("/oauth/upstream/callback") ? {} : { cookie };
  const answer = await fetch(url, { ...init, redirect: "manual", headers });
  for (const line of answer.headers.getSetCookie()) {
    const [pair] = line.split(";");
    jar.set(pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1));
  }
  const to = answer.headers.get("location");
  const page = await answer.text();
  return to ? { to: new URL(to, url).href } : { status: answer.status, page };
}

const shown = await step(LINK);
let { to: at, ...last } = await step(LINK, { user: "alice", secret: SECRET ?? "" });
const passed = [];
for (let n = 0; n < 20 && at; n++) {
  passed.push(at);
  const { to, ...found } = await step(at);
  if (to) {
    at = to;
    continue;
  }
  last = found;
  const action = found.page.match(/action="([^"]+)"/)?.[1];
  if (!action) break;
  const form = /name="prompt" value="login"/.test(found.page)
    ? { prompt: "login", login: "alice", password: "any" }
    : { prompt: "consent" };
  at = (await step(new URL(action, at).href, form)).to;
}
console.log(JSON.stringify({ shown: shown.page, passed, ...last }));
