"""Motion formats that hold no head: BVH for joints, VMD for MikuMikuDance."""
