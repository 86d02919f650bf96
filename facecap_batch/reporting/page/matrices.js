// 4 x 4 matrices for WebGL: arrays of 16, column after column.

function product(a, b) {
  const made = new Float32Array(16);
  for (let column = 0; column < 4; column++) {
    for (let row = 0; row < 4; row++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += a[k * 4 + row] * b[column * 4 + k];
      made[column * 4 + row] = sum;
    }
  }
  return made;
}

function translation(x, y, z) {
  return new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, y, z, 1]);
}

function rotationX(angle) {
  const s = Math.sin(angle), c = Math.cos(angle);
  return new Float32Array([1, 0, 0, 0, 0, c, s, 0, 0, -s, c, 0, 0, 0, 0, 1]);
}

function rotationY(angle) {
  const s = Math.sin(angle), c = Math.cos(angle);
  return new Float32Array([c, 0, -s, 0, 0, 1, 0, 0, s, 0, c, 0, 0, 0, 0, 1]);
}

function rotationZ(angle) {
  const s = Math.sin(angle), c = Math.cos(angle);
  return new Float32Array([c, s, 0, 0, -s, c, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
}

/** R = Ry(yaw) · Rx(pitch) · Rz(roll), as the columns of the tables mean it. */
function headRotation([yaw, pitch, roll]) {
  return product(product(rotationY(yaw), rotationX(pitch)), rotationZ(roll));
}

/** A camera's projection; `angle` in radians from top to bottom. */
function perspective(angle, aspect, near, far) {
  const f = 1 / Math.tan(angle / 2);
  const made = new Float32Array(16);
  made[0] = f / aspect;
  made[5] = f;
  made[10] = (far + near) / (near - far);
  made[11] = -1;
  made[14] = (2 * far * near) / (near - far);
  return made;
}
