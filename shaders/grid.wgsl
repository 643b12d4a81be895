// Grids larger than a dimension's limit are spread over x and y (gpu/kernels/grid.ts).

fn group_number(group: vec3u, groups: vec3u) -> u32 {
  return group.y * groups.x + group.x;
}
