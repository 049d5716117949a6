/** The part of --window-bytes that deliveries are asked for: the rest is room for some that are larger than the others were. */
export const USABLE = 0.75;
