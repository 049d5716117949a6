/** Takes every order. */
export function deliver(): void {}
