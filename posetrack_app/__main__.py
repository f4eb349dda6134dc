"""`python -m posetrack_app` and the console script `posetrack`."""

from posetrack_app.cli import main

if __name__ == "__main__":
    main()
