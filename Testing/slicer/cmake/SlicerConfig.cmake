# In the place of Slicer's build tree, for tests: cmake -DSlicer_DIR=<this folder> configures, builds and installs the
# extension without Slicer. Names, checks and the layout of what is installed are those of Slicer 5.12.
foreach(fact HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${fact}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${fact} is not set")
  endif()
endforeach()
set(Slicer_FOUND TRUE)
set(Slicer_VERSION "5.12")
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionGenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionCPack.cmake")
