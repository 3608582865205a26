export const version = "@VERSION@";
