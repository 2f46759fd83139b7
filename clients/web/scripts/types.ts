// Writes the types of the API into lib/api.ts, from the service's OpenAPI document.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import openapiTS, { astToString, type SchemaObject } from 'openapi-typescript';
import ts from 'typescript';

// Leaves out formats and examples, because in comments they would only repeat the descriptions.
const document = JSON.parse(
  readFileSync(new URL('../../../docs/openapi.json', import.meta.url), 'utf8'),
  (key, value) => (['format', 'example', 'examples'].includes(key) ? undefined : value),
);
const file = new URL('../lib/api.ts', import.meta.url);
const HEAD = '// The types of the API in docs/openapi.json. `npm run types` writes this file; do not edit it.\n\n';

/** The content that lib/api.ts should have. */
export async function withTypes(): Promise<string> {
  const { Candle, MonthCoverage, Series, Problem, Violation, Step } = document.components.schemas;
  const nodes = await openapiTS({
    openapi: document.openapi,
    info: document.info,
    paths: {},
    components: {
      schemas: {
        Candle,
        MonthCoverage,
        Series,
        Problem,
        Violation,
        Step,
        CandlesQuery: query('candles'),
        SeriesQuery: query('series'),
      },
    },
  });
  const types = schemas(nodes).map((schema) => {
    const alias = ts.factory.createTypeAliasDeclaration(
      [ts.factory.createToken(ts.SyntaxKind.ExportKeyword)],
      (schema.name as ts.Identifier).text,
      undefined,
      schema.type!,
    );
    return astToString(ts.setSyntheticLeadingComments(alias, ts.getSyntheticLeadingComments(schema)));
  });
  const text = types
    .join('')
    .replace(/components\["schemas"\]\["(\w+)"\]/g, '$1')
    .replace(/@description /g, '')
    .replace(/^( {4})+/gm, (indent) => indent.slice(indent.length / 2))
    // openapi-typescript indents the later lines of a comment.
    .replace(/^( *\*) {2,}/gm, '$1 ');
  return HEAD + text;
}

/** The query parameters of a route as a schema. */
function query(route: string): SchemaObject {
  type Parameter = { name: string; in: string; required: boolean; description?: string; schema: SchemaObject };
  const parameters = (document.paths[`/api/v1/${route}`].get.parameters as Parameter[]).filter(
    (it) => it.in === 'query',
  );
  return {
    type: 'object',
    required: parameters.filter((it) => it.required).map((it) => it.name),
    properties: Object.fromEntries(
      parameters.map(({ name, description, schema }) => [name, { description, ...schema }]),
    ),
  };
}

/** The members of `components.schemas` in the output of openapi-typescript. */
function schemas(nodes: ts.Node[]): ts.PropertySignature[] {
  const members = (node: ts.Node, name: string): ts.Node[] =>
    (node as ts.TypeLiteralNode).members.filter((it) => (it.name as ts.Identifier).text === name);
  const components = nodes.find((it) => ts.isInterfaceDeclaration(it) && it.name.text === 'components')!;
  const [schemas] = members(components, 'schemas') as ts.PropertySignature[];
  return [...(schemas!.type as ts.TypeLiteralNode).members] as ts.PropertySignature[];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(file, await withTypes());
