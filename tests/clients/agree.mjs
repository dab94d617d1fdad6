// A person with a browser: opens the gateway's link, goes on, signs in and agrees at the certified provider, and comes back.
// Prints the last page. With `STRANGER`, another browser opens what leads back.

import { request } from "node:http";

const { LINK, SECRET, PASSWORD, STRANGER } = process.env;
const jars = new Map();

/** One request over a connection of its own. */
function ask(url, method, headers, body) {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent: false }, (answer) => {
      let page = "";
      answer.setEncoding("utf8").on("data", (text) => (page += text));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, page }));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

async function step(url, form) {
  const { host } = new URL(url);
  if (!jars.has(host)) jars.set(host, new Map());
  const jar = jars.get(host);
  const headers = {};
  if (!(STRANGER && url.includes("/oauth/upstream/callback"))) {
    headers.cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  }
  if (form) headers["content-type"] = "application/x-www-form-urlencoded";
  const body = form ? new URLSearchParams(form).toString() : undefined;
  const answer = await ask(url, form ? "POST" : "GET", headers, body);
  for (const line of answer.headers["set-cookie"] ?? []) {
    const [pair] = line.split(";");
    jar.set(pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1));
  }
  const to = answer.headers.location;
  return to ? { to: new URL(to, url).href } : { status: answer.status, page: answer.page };
}

const shown = await step(LINK);
let { to: at, ...last } = await step(LINK, { user: "alice", secret: SECRET ?? "", password: PASSWORD ?? "" });
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
