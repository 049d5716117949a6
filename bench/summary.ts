import { median } from './median.ts';
import type { Figure, Goal, Row } from './scenario.ts';

/** What all runs of a scenario came to. */
export class Summary {
  readonly #rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
  }

  /** Of the runs that tell something. */
  get undisturbed(): Summary {
    return new Summary(this.#rows.filter(({ disturbed }) => disturbed === undefined));
  }

  get cases(): readonly string[] {
    return [...new Set(this.#rows.map((row) => row.case))];
  }

  systems(ofCase: string): readonly string[] {
    return [...new Set(this.#rows.filter((row) => row.case === ofCase).map(({ system }) => system))];
  }

  /** NaN when there was no such run. */
  median(figure: Figure, ofCase: string, system: string): number {
    const values = this.#values(figure, ofCase, system);
    return values.length === 0 ? Number.NaN : median(values);
  }

  /** The largest of all runs; NaN when there was no such run. */
  most(figure: Figure, ofCase: string, system: string): number {
    const values = this.#values(figure, ofCase, system);
    return values.length === 0 ? Number.NaN : Math.max(...values);
  }

  /** The median over the pairs of the same session, each the one system's figure over the other's in the same pair; NaN when there was no pair. */
  ratio(figure: Figure, ofCase: string, system: string, other: string, otherCase: string = ofCase): number {
    const ratios: number[] = [];
    for (const row of this.#of(ofCase, system)) {
      const twin = this.#of(otherCase, other).find(({ pair, session }) => pair === row.pair && session === row.session);
      if (twin !== undefined) ratios.push(figure.of(row) / figure.of(twin));
    }
    return ratios.length === 0 || ratios.some(Number.isNaN) ? Number.NaN : median(ratios);
  }

  /** To the first system of the case: `0.97`; nothing for that one itself, nor where the two were not measured in one session. */
  ratioToFirst(figure: Figure, ofCase: string, system: string): string {
    const first = this.systems(ofCase)[0] as string;
    const ratio = system === first ? Number.NaN : this.ratio(figure, ofCase, system, first);
    return Number.isNaN(ratio) ? '' : ratio.toFixed(2);
  }

  /** `12 us (11 to 13)`. */
  text(figure: Figure, ofCase: string, system: string): string {
    const values = this.#values(figure, ofCase, system);
    if (values.length === 0) return 'not measured';
    const shown = (value: number): string =>
      value.toLocaleString('en', { minimumFractionDigits: figure.digits, maximumFractionDigits: figure.digits });
    return `${shown(median(values))}${figure.unit} (${shown(Math.min(...values))} to ${shown(Math.max(...values))})`;
  }

  #values(figure: Figure, ofCase: string, system: string): number[] {
    return this.#of(ofCase, system)
      .map((row) => figure.of(row))
      .filter((value) => !Number.isNaN(value));
  }

  #of(ofCase: string, system: string): Row[] {
    return this.#rows.filter((row) => row.case === ofCase && row.system === system);
  }
}

export function atMost(value: number, limit: number, says: string, unit = ''): Goal {
  return goal(value, value <= limit, `${says}: ${value.toFixed(2)}${unit}, at most ${limit}${unit}`, says);
}

export function atLeast(value: number, limit: number, says: string): Goal {
  return goal(value, value >= limit, `${says}: ${value.toFixed(2)}, at least ${limit}`, says);
}

function goal(value: number, met: boolean, says: string, asked: string): Goal {
  return Number.isNaN(value) ? { says: `${asked}: not measured here`, met: undefined } : { says, met };
}
