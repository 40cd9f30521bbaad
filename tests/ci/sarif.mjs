// Checks a document against the schema of SARIF 2.1.0: `node sarif.mjs FILE`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import Ajv from "ajv";

const file = process.argv[2];
const require = createRequire(import.meta.url);
// The schema is one of draft 4.
const ajv = new Ajv({ allErrors: true, schemaId: "id", unknownFormats: "ignore", logger: false });
ajv.addMetaSchema(require("ajv/lib/refs/json-schema-draft-04.json"));
const isValid = ajv.compile(require("@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"));
if (!isValid(JSON.parse(readFileSync(file, "utf8")))) {
  for (const { dataPath, message } of isValid.errors) {
    console.log(`${file}: ${dataPath || "."} ${message}`);
  }
  process.exitCode = 1;
}
