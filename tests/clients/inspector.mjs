// The Inspector's command line against the gateway.

import { execFileSync } from "node:child_process";

import { check } from "./common.mjs";

function inspector(...args) {
  const program = `${process.env.NODE_MODULES}/@modelcontextprotocol/inspector/clients/launcher/build/index.js`;
  const where = ["--cli", process.env.GATEWAY, "--transport", "http"];
  const who = ["--header", `Authorization: Bearer ${process.env.TOKEN}`];
  const output = execFileSync(process.execPath, [program, ...where, ...who, ...args], { encoding: "utf8" });
  return JSON.parse(output);
}

await check(
  async () => inspector("--method", "tools/list"),
  async (name, args) => {
    const given = Object.entries(args).flatMap(([key, value]) => ["--tool-arg", `${key}=${value}`]);
    return inspector("--method", "tools/call", "--tool-name", name, ...given);
  },
);
