import type { Directory as RealDirectory } from '../../../../src/merchant/directory.ts';
import type { DirectoryChange } from '../../../../src/merchant/directory-change.ts';
import type { Merchant } from '../../../../src/order.ts';
import { stage } from '../stage.ts';

/** In place of the directory in a file. */
export class Directory implements Pick<RealDirectory, 'allowHosts' | 'find' | 'watch' | 'stop'> {
  readonly allowHosts: readonly string[] = [];

  static load(): Promise<Directory> {
    return Promise.resolve(new Directory());
  }

  find(merchantId: string): Merchant | undefined {
    return stage().merchants.find(merchantId);
  }

  watch(onChange: (change: DirectoryChange) => void): void {
    const { merchants, process, time } = stage();
    const change = { added: 0, removed: 0, changed: 1, merchants: merchants.ids.length, defaultsChanged: false };
    merchants.onChange = () => {
      if (process.actor.alive) time.after(1, () => onChange(change), process.actor);
    };
  }

  stop(): void {
    stage().merchants.onChange = undefined;
  }
}
