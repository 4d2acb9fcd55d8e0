// edit: not there yet.

export async function start() {}
