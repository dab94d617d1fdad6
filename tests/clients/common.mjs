// What every TypeScript client checks: all servers are listed, and one tool of each can be called.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.NODE_MODULES}/`);

/** A module of the peers' own folder. */
export function load(name) {
  const found = require.resolve(name, { paths: [process.env.NODE_MODULES + "/.."] });
  return import(pathToFileURL(found));
}

export const servers = ["everything", "fetch", "filesystem", "git", "memory", "sqlite", "time"];

/** One call of each server: tool, arguments, and a part of the answer. */
export const calls = [
  ["filesystem__read_text_file", { path: process.env.FILE }, "hello from a file"],
  ...(process.env.FETCHED ? [["fetch__fetch", { url: process.env.FETCHED }, "hello from far away"]] : []),
  ["memory__read_graph", {}, "entities"],
  ["sqlite__read_query", { query: "SELECT 'over ' || 'the wall' AS said" }, "over the wall"],
  ["everything__echo", { message: "over the wall" }, "over the wall"],
  ["git__git_status", { repo_path: process.env.REPOSITORY }, "hello.txt"],
  ["time__get_current_time", { timezone: "Europe/Berlin" }, "Europe/Berlin"],
];

/** Runs the check with the client's own two functions. */
export async function check(listTools, callTool) {
  const tools = (await listTools()).tools.map((tool) => tool.name);
  const found = [...new Set(tools.map((name) => name.split("__")[0]))].sort();
  if (found.join() !== servers.join()) throw new Error(`servers listed: ${found}`);
  for (const [name, args, part] of calls) {
    if (!tools.includes(name)) throw new Error(`${name} is not listed`);
    const result = await callTool(name, args);
    const text = JSON.stringify(result.content);
    if (result.isError || !text.includes(part)) throw new Error(`${name}: ${text.slice(0, 300)}`);
  }
  console.log(`${tools.length} tools listed, all called`);
}
