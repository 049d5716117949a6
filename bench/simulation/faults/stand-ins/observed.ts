import { Budget as RealBudget } from '../../../../src/dispatcher/budget.ts';
import { Settlements as RealSettlements } from '../../../../src/dispatcher/settlements.ts';
import { Lane as RealLane, type Waiting } from '../../../../src/lane/lane.ts';
import { stage } from '../stage.ts';

/** The real ones, which the simulation also gets to see: at the end their counts must be back at nothing. */

export * from '../../../../src/dispatcher/budget.ts';
export * from '../../../../src/dispatcher/settlements.ts';
export * from '../../../../src/lane/lane.ts';

export class Budget extends RealBudget {
  constructor(limit: number) {
    super(limit);
    stage().process.budget = this;
  }
}

export class Settlements extends RealSettlements {
  constructor(...parts: ConstructorParameters<typeof RealSettlements>) {
    super(...parts);
    stage().process.settlements = this;
  }
}

export class Lane<T extends Waiting> extends RealLane<T> {
  constructor(...parts: ConstructorParameters<typeof RealLane>) {
    super(...parts);
    stage().process.lanes.push(this as unknown as RealLane<Waiting>);
  }
}
