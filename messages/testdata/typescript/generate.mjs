// Reads messages/asyncapi.json with AsyncAPI's own parser, which must have nothing to say, and
// makes messages/crmbridge.d.ts of its schemas.
//
//   node generate.mjs FOLDER          writes FOLDER/crmbridge.d.ts
//   node generate.mjs FOLDER --check  fails where that file is another one
//
// FOLDER is messages/. The packages are those of package-lock.json beside this file. "go generate
// ./messages" runs this, and installs them where CRMBRIDGE_TEST_TYPESCRIPT_FOLDER does not name a
// folder that has them.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Parser } from "@asyncapi/parser";
import { compile } from "json-schema-to-typescript";

const [folder, check] = process.argv.slice(2);
const text = readFileSync(join(folder, "asyncapi.json"), "utf8");
const beside = (name) => readFileSync(new URL(name, import.meta.url), "utf8");

const information = 2; // of the parser's severities: 0 is an error, 1 a warning
const { document, diagnostics } = await new Parser().parse(text);
const faults = diagnostics.filter((d) => d.severity < information);
if (!document || faults.length > 0) {
  for (const fault of faults) console.error(`asyncapi.json: ${fault.path.join(".")}: ${fault.message}`);
  console.error(`asyncapi.json: ${faults.length} errors and warnings`);
  process.exit(1);
}

// Titles of members would become types of their own: only those of the schemas themselves stay.
const untitled = (schema, keep) => {
  if (Array.isArray(schema)) return schema.map((item) => untitled(item, false));
  if (schema === null || typeof schema !== "object") return schema;
  const out = {};
  for (const [name, value] of Object.entries(schema)) {
    if (name === "title" && typeof value === "string" && !keep) continue;
    out[name] =
      name === "properties"
        ? Object.fromEntries(Object.entries(value).map(([member, of]) => [member, untitled(of, false)]))
        : untitled(value, false);
  }
  return out;
};

const { components } = JSON.parse(text.replaceAll("#/components/schemas/", "#/definitions/"));
const definitions = {};
for (const [name, schema] of Object.entries(components.schemas)) {
  definitions[name] = { ...untitled(schema, true), title: name };
  // Other columns stand in rows, too. Whatever else a later version adds to a reply, a program of
  // today misspells what it reads.
  if (name.endsWith("Row")) definitions[name].additionalProperties = true;
}
const made = await compile({ title: "Root", type: "object", properties: {}, definitions }, "Root", {
  additionalProperties: false,
  bannerComment: "",
  ignoreMinAndMaxItems: true,
  style: { printWidth: 110 },
  unreachableDefinitions: true,
});
const sum = createHash("sha256");
for (const of of [text, beside("generate.mjs"), beside("package-lock.json")]) sum.update(of);
const types =
  `// crmbridge's bodies and headers. Made of asyncapi.json by "go generate ./messages"; do not edit.\n` +
  `// sha256 of asyncapi.json, generate.mjs, package-lock.json: ${sum.digest("hex")}\n\n` +
  made
    .replace(/export interface Root \{[^}]*\}\n/, "")
    .replace(/\/\*\*\n(?: \*[^\n]*\n)*? \* This (?:interface|type) was referenced by `Root`[^\n]*\n \* via the `definition` "[^"]*"\.\n \*\/\n/g, "");

const file = join(folder, "crmbridge.d.ts");
if (check !== "--check") {
  writeFileSync(file, types);
} else if (readFileSync(file, "utf8") !== types) {
  console.error("crmbridge.d.ts is stale: go generate ./messages");
  process.exit(1);
}
