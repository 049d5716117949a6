/** Prints scenarios' raw results as Markdown: `node bench/table.ts bench/results/*.jsonl`. */
import { machinesIn, readResults } from './results.ts';
import { quotedIn } from './scenario.ts';
import { scenarioOf } from './scenarios/index.ts';
import { Summary } from './summary.ts';

process.stdout.write(
  '# Results\n\nWritten by `node bench/table.ts bench/results/*.jsonl > bench/RESULTS.md`, from the raw results. [How they were measured](README.md).\n\n',
);
for (const path of process.argv.slice(2)) {
  const results = readResults(path);
  const { machine, rows } = results;
  const scenario = scenarioOf(rows, path);
  const summary = new Summary(rows);
  const { figures } = scenario;
  const kind = machine.quick ? ', a quick run, no result' : '';
  const days = [...new Set(rows.map(({ session }) => (session ?? machine.date).slice(0, 10)))].sort();
  const place = `${days.length > 1 ? `${days[0]} to ${days.at(-1)}` : days[0]}, ${machinesIn(results)}${kind}`;
  const lines = [
    `### ${scenario.name}`,
    '',
    `${place}; median (minimum to maximum); the ratio of ${figures[0].name} is to the first system of the case, the median of rounds.`,
    '',
    `| case | system | runs | ${figures.map(({ name }) => name).join(' | ')} | ratio |`,
    `|${' --- |'.repeat(figures.length + 4)}`,
  ];
  for (const ofCase of summary.cases) {
    for (const system of summary.systems(ofCase)) {
      const runs = rows.filter((row) => row.case === ofCase && row.system === system).length;
      const shown = figures.map((figure) => summary.text(figure, ofCase, system)).join(' | ');
      lines.push(
        `| ${ofCase} | ${system} | ${runs} | ${shown} | ${summary.ratioToFirst(figures[0], ofCase, system)} |`,
      );
    }
    for (const { system, says } of quotedIn(scenario, ofCase))
      lines.push(`| ${ofCase} | ${system} | | ${says}${' |'.repeat(figures.length + 1)}`);
  }
  const goals = scenario.goals(summary).filter(({ met }) => met !== undefined);
  lines.push('', ...goals.map(({ says, met }) => `- ${met === true ? 'met' : '**missed**'}: ${says}`), '');
  process.stdout.write(`${lines.join('\n')}\n`);
}
