// Checks a document against the schema of SARIF 2.1.0: `node sarif.mjs FILE`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import Ajv from "ajv";

const file = process.argv[2];
const schema = createRequire(import.meta.url)("@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");
const ajv = new Ajv({ allErrors: true, unknownFormats: "ignore" });
const document = JSON.parse(readFileSync(file, "utf8"));
if (!ajv.validate(schema, document)) {
  for (const { dataPath, message } of ajv.errors) {
    console.error(`${file}: ${dataPath || "."} ${message}`);
  }
  process.exitCode = 1;
}
