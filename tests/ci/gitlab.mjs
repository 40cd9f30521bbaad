// Parses a .gitlab-ci.yml and checks what GitLab requires of it: `node gitlab.mjs FILE`. GitLab's own linter needs a
// server.
import { readFileSync } from "node:fs";
import { parse } from "yaml";

const file = process.argv[2];
const found = parse(readFileSync(file, "utf8"), { merge: true });
const GLOBAL = ["default", "include", "stages", "variables", "workflow"];
const STAGES = found.stages ?? [".pre", "build", "test", "deploy", ".post"];

const problems = [];
const need = (holds, problem) => holds || problems.push(problem);
const isText = (value) => typeof value === "string";

const jobs = Object.entries(found).filter(([name]) => !GLOBAL.includes(name) && !name.startsWith("."));
need(jobs.length > 0, "it has no job");
for (const [name, job] of jobs) {
  need(Array.isArray(job.script) && job.script.every(isText), `${name}: \`script\` is not a list of commands`);
  need([job.before_script ?? []].flat().every(isText), `${name}: \`before_script\` is not a list of commands`);
  need(STAGES.includes(job.stage ?? "test"), `${name}: there is no stage \`${job.stage}\``);
  need([job.rules ?? []].flat().every((rule) => isText(rule.if)), `${name}: a rule has no \`if\``);
  need(isText(job.image ?? found.default?.image), `${name}: it has no image`);
  for (const cache of [job.cache ?? []].flat()) {
    need(cache.key && Array.isArray(cache.paths), `${name}: a cache has no key or no paths`);
  }
}
for (const [name, value] of Object.entries(found.variables ?? {})) {
  need(["string", "number"].includes(typeof value), `the variable ${name} is neither text nor a number`);
}
for (const problem of problems) {
  console.error(`${file}: ${problem}`);
}
process.exitCode = problems.length > 0 ? 1 : 0;
