// batch: not there yet.

export async function start() {}
