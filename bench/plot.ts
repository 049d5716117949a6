/** Draws a scenario's raw results: `node bench/plot.ts bench/results/cost.jsonl` writes bench/results/cost.svg. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { machinesIn, type Results, readResults } from './results.ts';
import type { Figure } from './scenario.ts';
import { scenarioOf } from './scenarios/index.ts';

/** One panel a case: each run a point, the median a bar over them. Cases with one system only where there are no others. */
export async function plot(title: string, figure: Figure, results: Results): Promise<string> {
  const values = results.rows.map((row) => ({ case: row.case, system: row.system, value: figure.of(row) }));
  const byCase = Map.groupBy(values, (value) => value.case);
  const compared = [...byCase].filter(([, of]) => new Set(of.map(({ system }) => system)).size > 1);
  const cases = (compared.length > 0 ? compared : [...byCase]).map(([of]) => of);
  const systems = [...new Set(values.map((value) => value.system))];
  const color = { field: 'system', type: 'nominal' as const, legend: null, scale: { domain: systems } };
  const y = { field: 'system', type: 'nominal' as const, title: null, sort: null };
  const unit = figure.unit === '' ? '' : `,${figure.unit}`;
  const x = { field: 'value', type: 'quantitative' as const, title: `${figure.name}${unit}` };
  const panel = (of: string) => ({
    title: of,
    data: { values: values.filter((value) => value.case === of) },
    width: 280,
    height: { step: 20 },
    layer: [
      {
        mark: { type: 'bar' as const, opacity: 0.35 },
        encoding: { x: { ...x, aggregate: 'median' as const }, y, color },
      },
      { mark: { type: 'point' as const, filled: true, size: 30 }, encoding: { x, y, color } },
    ],
  });
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: title, subtitle: subtitle(results), anchor: 'start' },
    background: 'white',
    columns: 2,
    concat: cases.map(panel),
  };
  const view = new View(parse(compile(spec).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function subtitle(results: Results): string {
  const { date, quick } = results.machine;
  const kind = quick ? 'a quick run, no result; ' : '';
  return `${kind}bars are medians, points are runs; ${date.slice(0, 10)}, ${machinesIn(results)}`;
}

/** Beside the results, with the same name. */
export async function plotFile(path: string): Promise<string> {
  const results = readResults(path);
  const scenario = scenarioOf(results.rows, path);
  const svg = path.replace(/\.jsonl$/, '.svg');
  writeFileSync(svg, `${await plot(scenario.name, scenario.figures[0], results)}\n`);
  return svg;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const path of process.argv.slice(2)) process.stdout.write(`${await plotFile(path)}\n`);
}
