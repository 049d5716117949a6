/** In place of node:v8's: the flags are for threads, and there are none. */
export function setFlagsFromString(): void {}
