// node read_glb.mjs FILE TIMES.json: what three.js shows of a .glb at some times, as JSON.
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
const meshes = [];
gltf.scene.traverse((object) => { if (object.morphTargetDictionary) meshes.push(object); });
const [clip] = gltf.animations;
const mixer = new THREE.AnimationMixer(gltf.scene);
const action = mixer.clipAction(clip);
action.setLoop(THREE.LoopOnce);
action.clampWhenFinished = true;
action.play();
const joint = gltf.scene.getObjectByName('head_joint');
const names = Object.keys(meshes[0].morphTargetDictionary);
const result = { duration: clip.duration, meshes: meshes.length, weights: {}, rotation: [], position: [] };
for (const name of names) result.weights[name] = [];
for (const time of times) {
  mixer.setTime(Math.min(time, clip.duration));
  for (const name of names) {
    const values = meshes.map((mesh) => mesh.morphTargetInfluences[mesh.morphTargetDictionary[name]]);
    if (Math.max(...values) !== Math.min(...values)) throw new Error(`primitives differ in ${name}`);
    result.weights[name].push(values[0]);
  }
  result.rotation.push(joint.quaternion.toArray());
  result.position.push(joint.position.toArray());
}
console.log(JSON.stringify(result));
