// node read_character.mjs FILE TIMES.json: what three.js shows of a character at some times, as JSON: the
// morph targets' weights, and the rotation in the world of every node that is no mesh.
import fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
globalThis.self = globalThis;
const modules = path.join(process.cwd(), 'node_modules', 'three');
const THREE = await import(pathToFileURL(path.join(modules, 'build', 'three.module.js')));
const { GLTFLoader } = await import(
  pathToFileURL(path.join(modules, 'examples', 'jsm', 'loaders', 'GLTFLoader.js')));
const [, , file, timesFile] = process.argv;
const times = JSON.parse(fs.readFileSync(timesFile));
const bytes = fs.readFileSync(file);
const gltf = await new GLTFLoader().parseAsync(
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength), '');
let mesh;
const bones = [];
gltf.scene.traverse((object) => {
  if (object.morphTargetDictionary) mesh = object;
  else if (object.name && !object.isMesh) bones.push(object);
});
const clip = gltf.animations[0];
const mixer = new THREE.AnimationMixer(gltf.scene);
const action = mixer.clipAction(clip);
action.setLoop(THREE.LoopOnce);
action.clampWhenFinished = true;
action.play();
const result = { name: clip.name, duration: clip.duration, weights: {}, rotations: {} };
for (const name of Object.keys(mesh.morphTargetDictionary)) result.weights[name] = [];
for (const bone of bones) result.rotations[bone.name] = [];
for (const time of times) {
  mixer.setTime(Math.min(time, clip.duration));
  gltf.scene.updateMatrixWorld(true);
  for (const [name, number] of Object.entries(mesh.morphTargetDictionary)) {
    result.weights[name].push(mesh.morphTargetInfluences[number]);
  }
  for (const bone of bones) {
    result.rotations[bone.name].push(bone.getWorldQuaternion(new THREE.Quaternion()).toArray());
  }
}
console.log(JSON.stringify(result));
