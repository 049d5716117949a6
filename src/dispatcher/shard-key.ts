/**
 * 32-bit FNV-1a over the UTF-16 code units of the ID (Fowler, Noll and Vo), and MurmurHash3's finalizer (Appleby), without
 * which IDs that differ in their last digit land side by side. Part of the product's contract: the same merchant goes to
 * the same shard after every restart and release, and a test holds golden values.
 */
export function shardKey(merchantId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < merchantId.length; i++) {
    hash ^= merchantId.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export function shardOf(merchantId: string, shards: number): number {
  return shardKey(merchantId) % shards;
}
